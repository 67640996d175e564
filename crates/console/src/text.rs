//! Every fixed text of the console, in both languages: a text without a translation does not compile.

use crate::language::Language;

macro_rules! texts {
    ($($name:ident: $english:literal, $russian:literal;)+) => {
        /// A text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum T {
            $(#[doc = $english] $name,)+
        }

        impl Language {
            /// The text in this language.
            pub(crate) const fn say(self, text: T) -> &'static str {
                match (self, text) {
                    $((Self::English, T::$name) => $english, (Self::Russian, T::$name) => $russian,)+
                }
            }
        }
    };
}

texts! {
    // Every page
    SkipToContent: "Skip to the content", "К содержанию";
    Chapters: "Chapters", "Разделы";
    Home: "Home", "Главная";
    Holds: "Holds", "Удержания";
    Services: "Services", "Услуги";
    Revenue: "Revenue", "Выручка";
    Documentation: "Documentation", "Документация";
    LogIn: "Log in", "Вход";
    LogOut: "Log out", "Выйти";
    YourKey: "The key that you logged in with", "Ключ, с которым вы вошли";
    OpenToEverybody: "No API key exists: everybody who reaches this page may do everything.",
        "Ключей API нет: каждый, кто открыл эту страницу, может всё.";
    OnlyLooking: "This console only shows things; nothing can be changed here.",
        "Консоль открыта только для просмотра: изменить здесь ничего нельзя.";
    Find: "Find", "Найти";
    Search: "Search", "Поиск";
    SearchLabel: "Number of a user or an order", "Номер пользователя или заказа";
    SearchHint: "Number", "Номер";
    SearchExplained: "Digits only; spaces do not matter.", "Только цифры; пробелы не мешают.";
    Print: "Print", "Печать";
    Pages: "Pages", "Страницы";
    FirstPage: "First page", "В начало";
    NextPage: "Next page", "Дальше";
    Show: "Show", "Показать";
    Cancel: "Cancel", "Отмена";
    Everything: "Everything", "Всё";
    Sorting: "Order", "Порядок";
    LoadAgain: "Load again", "Обновить";
    ToTheFirstPage: "To the first page", "На главную";

    // Logging in
    ApiKey: "API key", "Ключ API";
    ApiKeyHint: "Paste it once; you stay logged in for eight hours. It is not kept in the browser.",
        "Вставьте его один раз: вход действует восемь часов. В браузере ключ не хранится.";
    KeyRefused: "This is no valid key: check it, or ask an administrator for another.",
        "Ключ недействителен: проверьте его или попросите у администратора другой.";
    LogInFirst: "Log in first.", "Сначала войдите.";

    // What goes wrong
    NotPossible: "Not possible", "Не получилось";
    NoSuchPage: "There is no such page.", "Такой страницы нет.";
    NoSuchUser: "There is no such user: nothing was ever paid in.", "Такого пользователя нет: ему ничего не зачисляли.";
    NoSuchReservation: "Nothing was ever set aside for this user, service and order.",
        "Для этого пользователя, услуги и заказа ничего не откладывали.";
    NoSuchService: "There is no such service.", "Такой услуги нет.";
    NothingUnderKey: "Nothing was done under this key.", "По этому ключу ничего не сделано.";
    Malformed: "The address or the form makes no sense here. Go back and check what you entered.",
        "Адрес или форма заполнены неверно. Вернитесь и проверьте введённое.";
    ForeignOrigin: "This came from a page of another site and was not done.",
        "Запрос пришёл со страницы другого сайта и не выполнен.";
    OurFault: "The service failed. Tell an operator the time of this message.",
        "Сбой сервиса. Сообщите оператору время этого сообщения.";
    StoreAway: "The database cannot be reached just now. Nothing was done; try again in a moment.",
        "База данных сейчас недоступна. Ничего не сделано; повторите чуть позже.";
    OutcomeUnknown: "The answer was lost: it may have been done or not. Ask again: it is done once in any case.",
        "Ответ потерян: действие могло выполниться или нет. Спросите ещё раз: оно выполнится только однажды.";
    NotKnown: "Not known yet", "Пока неизвестно";
    AskAgain: "Ask again", "Спросить ещё раз";
    LookFirst: "Look first", "Сначала посмотреть";
    MonthNotBegun: "This month has not begun.", "Этот месяц ещё не начался.";
    ReportNotBuilt: "No report was built for this month.", "Отчёт за этот месяц не построен.";
    ReportNotPublished: "The file could not be written. Tell an operator.", "Файл не записан. Сообщите оператору.";
    MonthsWanted: "Choose one to 24 months, the earlier one first.", "Выберите от 1 до 24 месяцев, сначала ранний.";

    // The first page
    Now: "Now", "Сейчас";
    Pause: "Pause", "Остановить";
    GoOn: "Go on", "Продолжить";
    OperationsPerSecond: "Operations per second", "Операций в секунду";
    HoldsOpen: "Open holds", "Открытых удержаний";
    HoldsDueSoon: "Holds that end within the hour", "Удержаний истекает за час";
    ClockOffset: "Clock, off by", "Отклонение часов";
    ClockIsOff: "The clock of this machine is off: deadlines and months cannot be relied on.",
        "Часы этой машины сбились: на сроки и месяцы нельзя положиться.";
    HoldsNext: "Holds that end next", "Ближайшие по сроку удержания";
    AllHolds: "All holds", "Все удержания";
    NoHolds: "There are none.", "Их нет.";
    Orders: "Orders", "Заказы";
    NothingFound: "No user and no order has this number.", "Ни пользователя, ни заказа с таким номером нет.";
    NumberWanted: "Users and orders are found by their number: digits only.",
        "Пользователи и заказы ищутся по номеру: только цифры.";
    OrdersExplained: "Only active holds are searched; orders that have ended are in the history of their user.",
        "Ищутся только активные удержания; завершённые заказы видны в истории пользователя.";

    // A user
    User: "User", "Пользователь";
    Available: "Available", "Доступно";
    Reserved: "Set aside", "Отложено";
    Total: "Total", "Всего";
    AsOf: "As of", "На";
    Closed: "Closed", "Закрыт";
    CourseTitle: "Course of the balance", "Ход баланса";
    CourseTable: "The same figures stand in the history.", "Те же числа стоят в истории.";
    UpTo: "up to", "до";
    ActiveHolds: "Active holds", "Активные удержания";
    MoreHolds: "There are more; they end later.", "Есть и другие, с более поздним сроком.";
    Latest: "Latest operations", "Последние операции";
    WholeHistory: "Whole history", "Вся история";
    NoOperations: "Nothing has happened yet.", "Пока ничего не было.";
    ToTheUser: "To the user", "К пользователю";

    // A history
    History: "History", "История";
    Filters: "Filters", "Фильтры";
    Number: "Number", "Номер";
    Time: "Time", "Время";
    What: "What happened", "Что произошло";
    Comment: "Comment", "Комментарий";
    Amount: "Amount", "Сумма";
    AvailableAfter: "Available after", "Доступно после";
    ReservedAfter: "Set aside after", "Отложено после";
    Actor: "By", "Кто";
    Key: "Key", "Ключ";
    Anybody: "no key", "без ключа";
    CommandLine: "the command line", "командная строка";
    TheDeadline: "the deadline", "срок";
    FromDay: "From the day", "С дня";
    ToDay: "To the day", "По день";
    AmountFrom: "Amount from", "Сумма от";
    AmountTo: "Amount to", "Сумма до";
    ServiceNumber: "Number of the service", "Номер услуги";
    NewestFirst: "Latest first", "Сначала новые";
    OldestFirst: "Earliest first", "Сначала старые";
    LargestFirst: "Largest amount first", "Сначала крупные";
    SmallestFirst: "Smallest amount first", "Сначала мелкие";
    SoonestFirst: "Nearest deadline first", "Сначала ближайший срок";
    NothingPasses: "No operation passes these filters.", "Под эти фильтры ничего не подходит.";
    StatementFile: "Statement as CSV", "Выписка в CSV";
    KindDeposit: "Top-ups", "Пополнения";
    KindWithdrawal: "Payouts", "Выплаты";
    KindTransferOut: "Transfers to others", "Переводы другим";
    KindTransferIn: "Transfers from others", "Переводы от других";
    KindReserve: "Set aside", "Отложено";
    KindCapture: "Charges", "Списания";
    KindRelease: "Set free", "Возвраты из отложенного";
    KindExpire: "Set free, time was over", "Возвраты по сроку";
    KindRefund: "Refunds", "Возвраты денег";

    // A reservation
    Order: "Order", "Заказ";
    Service: "Service", "Услуга";
    State: "State", "Состояние";
    StateActive: "Active", "Активно";
    StateCaptured: "Charged", "Списано";
    StateReleased: "Set free", "Возвращено";
    StateExpired: "Time was over", "Срок истёк";
    SetAside: "Set aside at first", "Отложено вначале";
    StillReserved: "Still set aside", "Ещё отложено";
    Charged: "Charged", "Списано";
    SetFree: "Set free", "Возвращено из отложенного";
    RefundedSum: "Refunded", "Возвращено денег";
    Made: "Made", "Создано";
    Deadline: "Deadline", "Срок";
    Left: "left:", "осталось";
    Over: "over", "истёк";
    Life: "What happened to it", "Что с ним было";
    MoreInHistory: "There is more; the history has all of it.", "Показано не всё; остальное в истории.";

    // Services
    Name: "Name", "Название";
    AddService: "Add a service", "Добавить услугу";
    NoServices: "There are no services yet.", "Услуг пока нет.";
    Retired: "Retired", "Закрыта";
    TakesOrders: "Takes orders", "Принимает заказы";
    ItsHolds: "Its holds", "Её удержания";
    Rename: "Rename", "Переименовать";
    RenameHint: "Reports of months that are over keep the old name.", "Отчёты за закрытые месяцы сохранят старое название.";
    Retire: "Retire", "Закрыть услугу";
    RetireHint: "It takes no new orders, and this cannot be undone. Open ones can end, reports keep the name. A service that was never used is deleted.",
        "Новых заказов не будет, отменить это нельзя. Открытые можно завершить, отчёты сохранят название. Услуга, которой не пользовались, удаляется.";
    Sure: "Yes, for good", "Да, навсегда";
    SureWanted: "Tick the box if you are sure.", "Поставьте отметку, если уверены.";
    ServiceWanted: "A service has a number of digits, and a name without spaces at its ends.",
        "У услуги есть номер из цифр и название без пробелов по краям.";

    // Revenue
    FromMonth: "From the month", "С месяца";
    ToMonth: "To the month", "По месяц";
    MonthHead: "Month", "Месяц";
    MonthsTitle: "Revenue after refunds, month by month", "Выручка за вычетом возвратов, по месяцам";
    AllMonths: "All months", "Все месяцы";
    Net: "Net", "Итого";
    Change: "Against the month before", "К прошлому месяцу";
    Share: "Share", "Доля";
    File: "File", "Файл";
    Final: "Final", "Окончательно";
    Preliminary: "Preliminary", "Предварительно";
    FinalExplained: "The month is over; these figures do not change.", "Месяц закрыт; эти числа не изменятся.";
    PreliminaryExplained: "The month is not over; these figures still change.", "Месяц не закрыт; числа ещё изменятся.";
    ForExcel: "CSV for Excel", "CSV для Excel";
    NoRevenue: "No revenue in this time.", "За это время выручки нет.";

    // Acting
    Deposit: "Top up", "Пополнить";
    Withdraw: "Pay out", "Выплатить";
    Transfer: "Transfer", "Перевести";
    Capture: "Charge", "Списать";
    Release: "Set free", "Вернуть отложенное";
    Refund: "Refund", "Вернуть деньги";
    Extend: "Extend", "Продлить";
    Close: "Close the account", "Закрыть счёт";
    DoDeposit: "Top up now", "Пополнить сейчас";
    DoWithdraw: "Pay out now", "Выплатить сейчас";
    DoTransfer: "Transfer now", "Перевести сейчас";
    DoCapture: "Charge now", "Списать сейчас";
    DoRelease: "Set free now", "Вернуть сейчас";
    DoRefund: "Refund now", "Вернуть деньги сейчас";
    DoExtend: "Extend now", "Продлить сейчас";
    DoClose: "Close the account now", "Закрыть счёт сейчас";
    Receiver: "To user", "Кому (пользователь)";
    Minutes: "Minutes from now", "Минут от этого момента";
    MinutesHint: "A hold never ends earlier than it would have.", "Раньше прежнего срока удержание не закончится.";
    AmountHint: "For example 1250.50 or 1 250,50", "Например, 1 250,50 или 1250.50";
    AmountOrAllHint: "For example 1 250,50. Empty: all that is left.", "Например, 1 250,50. Пусто: всё, что осталось.";
    AllThatIsLeft: "All that is left", "Всё, что осталось";
    CommentHint: "Why, in a few words: it stays in the history for good.", "Зачем, в нескольких словах: останется в истории навсегда.";
    IdWanted: "a number of digits is needed", "нужен номер из цифр";
    AmountWanted: "an amount like 1250.50 is needed; 1,250 could mean two amounts",
        "нужна сумма вида 1250,50; 1,250 можно понять двояко";
    MinutesWanted: "whole minutes from 1 to 43200 are needed", "нужно целое число минут от 1 до 43200";
    CommentWanted: "a comment of at most 1024 bytes is needed", "нужен комментарий не длиннее 1024 байт";
    FaultsTitle: "This is not complete yet:", "Заполнено не всё:";
    RuleSaysNo: "This cannot be done.", "Сделать это нельзя.";
    ToCheck: "Check", "Проверить";
    CheckTitle: "Is this right?", "Всё верно?";
    NothingYet: "Nothing has been done yet.", "Пока ничего не сделано.";
    Before: "Before", "До";
    After: "After", "После";
    ChangeIt: "Change", "Изменить";
    OnceExplained: "However often you press: it is done once.", "Сколько бы раз вы ни нажали, это выполнится один раз.";
    CloseExplained: "Closing erases all comments of the history; amounts stay for the books.",
        "Закрытие стирает все комментарии истории; суммы остаются для учёта.";
    Done: "Done", "Сделано";
    OperationNumber: "Operation", "Операция";
    RequestKey: "Key of the request", "Ключ запроса";

    // Why a rule says no
    DoneOtherwise: "The page was used for something else. Begin again.", "Страница уже использована для другого. Начните заново.";
    SameUser: "Payer and receiver are the same user.", "Отправитель и получатель совпадают.";
    ReservationSuperseded: "The order was reserved again in the meantime.", "Заказ за это время зарезервирован заново.";
    ReservationExists: "The order has an active hold for this service.", "У заказа уже есть активное удержание по этой услуге.";
    ReservationCaptured: "The hold is over: it was charged.", "Удержание завершено: деньги списаны.";
    ReservationReleased: "The hold is over: it was set free.", "Удержание завершено: деньги возвращены.";
    ReservationExpired: "The hold is over: its time ran out.", "Удержание завершено: срок истёк.";
    NothingToRefund: "Nothing is left to refund.", "Возвращать больше нечего.";
}
