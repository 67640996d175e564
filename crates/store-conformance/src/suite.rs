//! The list of all cases, and the macro that makes tests of them.

/// Makes one `#[tokio::test]` of every case of the suite, for one [`Harness`](crate::Harness).
///
/// The test crate needs `tokio` with `macros` and `rt-multi-thread`. A failing test is named
/// `theme::behaviour`.
#[macro_export]
macro_rules! conformance {
    ($harness:ty) => {
        $crate::conformance! { @list $harness;
            (store) money {
                a_deposit_opens_the_account
            }
        }
    };
    (@list $harness:ty; $(($kind:ident) $theme:ident { $($case:ident)* })*) => {
        $(
            mod $theme {
                #[allow(unused_imports, reason = "the harness may be named by a full path")]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $case() {
                        let harness = <$harness as $crate::Harness>::fresh().await;
                        $crate::conformance! { @run $kind harness, $crate::cases::$theme::$case }
                    }
                )*
            }
        )*
    };
    (@run store $harness:ident, $case:path) => {
        $case($crate::Teller::new($crate::Harness::store(&$harness))).await;
        drop($harness);
    };
    (@run harness $harness:ident, $case:path) => {
        $case($harness).await;
    };
}
