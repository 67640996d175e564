//! The catalogue of services.

use balance_domain::{
    CatalogueError, Page, Rejection, Removal, Service, ServiceId, ServiceName, ServiceStatus,
};

use crate::teller::{Teller, capture_of, failed, limit, name, order, refund_of, reserve_of, service};

async fn add(teller: &Teller, services: &[(i64, &str)]) -> Result<Vec<Service>, CatalogueError> {
    let services = services.iter().map(|(id, text)| (service(*id), name(text))).collect();
    teller.store().add_services(services).await.unwrap_or_else(|error| failed(&error))
}

async fn one(teller: &Teller, id: i64) -> Option<Service> {
    teller.store().service(service(id)).await.unwrap_or_else(|error| failed(&error))
}

async fn rename(teller: &Teller, id: i64, text: &str) -> Result<Service, CatalogueError> {
    teller.store().rename_service(service(id), name(text)).await.unwrap_or_else(|error| failed(&error))
}

async fn remove(teller: &Teller, id: i64) -> Result<Removal, CatalogueError> {
    teller.store().remove_service(service(id)).await.unwrap_or_else(|error| failed(&error))
}

async fn page(teller: &Teller, after: Option<i64>, rows: u16) -> Page<Service, ServiceId> {
    let page = teller.store().services(after.map(service), limit(rows)).await;
    page.unwrap_or_else(|error| failed(&error))
}

fn active(id: i64, text: &str) -> Service {
    Service { id: service(id), name: name(text), status: ServiceStatus::Active }
}

/// Several services are added at once and answered in the order given.
pub async fn services_are_added_together(teller: Teller) {
    let added = add(&teller, &[(9, "Уборка"), (2, "Доставка"), (i64::MAX, "z")]).await;
    assert_eq!(added, Ok(vec![active(9, "Уборка"), active(2, "Доставка"), active(i64::MAX, "z")]));
    assert_eq!(one(&teller, 2).await, Some(active(2, "Доставка")));
    assert_eq!(one(&teller, 3).await, None);
    assert_eq!(add(&teller, &[]).await, Ok(Vec::new()));
}

/// All or none: ids and names are new, also among themselves.
pub async fn one_bad_service_keeps_all_out(teller: Teller) {
    assert!(add(&teller, &[(1, "a")]).await.is_ok());
    for (services, expected) in [
        (vec![(2, "b"), (1, "c")], CatalogueError::IdTaken(service(1))),
        (vec![(2, "b"), (3, "a")], CatalogueError::NameTaken(name("a"))),
        (vec![(2, "b"), (2, "c")], CatalogueError::IdTaken(service(2))),
        (vec![(2, "b"), (3, "b")], CatalogueError::NameTaken(name("b"))),
    ] {
        assert_eq!(add(&teller, &services).await, Err(expected));
        assert_eq!(page(&teller, None, 50).await.items, [active(1, "a")]);
    }
}

/// Services are listed by id, in pages.
pub async fn services_are_listed_by_id(teller: Teller) {
    let services: Vec<(i64, String)> = [5, 3, 9, 1, 7].map(|id| (id, format!("n{}", 10 - id))).to_vec();
    let named: Vec<(i64, &str)> = services.iter().map(|(id, text)| (*id, text.as_str())).collect();
    assert!(add(&teller, &named).await.is_ok());
    for rows in [1, 2, 3, 4, 5, 6] {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = page(&teller, after, rows).await;
            assert!(page.items.len() <= usize::from(rows));
            ids.extend(page.items.iter().map(|service| service.id.get()));
            match page.next {
                Some(next) => after = Some(next.get()),
                None => break,
            }
        }
        assert_eq!(ids, [1, 3, 5, 7, 9], "pages of {rows}");
    }
    assert_eq!(page(&teller, Some(4), 1).await.items, [active(5, "n5")]);
    assert_eq!(page(&teller, Some(9), 1).await, Page { items: vec![], next: None });
}

/// A service can be renamed, to its own name too, but not to another's.
pub async fn services_are_renamed(teller: Teller) {
    assert!(add(&teller, &[(1, "a"), (2, "b")]).await.is_ok());
    assert_eq!(rename(&teller, 1, "c").await, Ok(active(1, "c")));
    assert_eq!(rename(&teller, 1, "c").await, Ok(active(1, "c")));
    assert_eq!(rename(&teller, 1, "b").await, Err(CatalogueError::NameTaken(name("b"))));
    assert_eq!(rename(&teller, 3, "d").await, Err(CatalogueError::NotFound(service(3))));
    assert_eq!(rename(&teller, 2, "a").await, Ok(active(2, "a")), "a name given up is free");
    assert_eq!(one(&teller, 1).await, Some(active(1, "c")));
}

/// A service that was never used is gone, and its id and name are free.
pub async fn an_unused_service_is_deleted(teller: Teller) {
    assert!(add(&teller, &[(1, "a")]).await.is_ok());
    assert_eq!(remove(&teller, 1).await, Ok(Removal::Deleted));
    assert_eq!(one(&teller, 1).await, None);
    assert_eq!(remove(&teller, 1).await, Err(CatalogueError::NotFound(service(1))));
    teller.deposit(1, 10).await;
    assert_eq!(
        teller.refused(reserve_of(order(1, 1, 1), 1, 60)).await,
        Rejection::ServiceNotFound(service(1))
    );
    assert_eq!(add(&teller, &[(1, "a")]).await, Ok(vec![active(1, "a")]));
}

/// A rejected reserve does not make a service used.
pub async fn a_rejected_reserve_uses_no_service(teller: Teller) {
    assert!(add(&teller, &[(1, "a")]).await.is_ok());
    teller.deposit(1, 10).await;
    teller.refused(reserve_of(order(1, 1, 1), 11, 60)).await;
    assert_eq!(remove(&teller, 1).await, Ok(Removal::Deleted));
}

/// A used service is retired: no new reservation, open ones can end, its name stays taken.
pub async fn a_used_service_is_retired(teller: Teller) {
    assert!(add(&teller, &[(1, "a"), (2, "b")]).await.is_ok());
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 1, 1), 10, 60).await;
    teller.reserve(order(1, 1, 2), 10, 60).await;
    teller.release(order(1, 1, 2)).await;
    for _ in 0..2 {
        assert_eq!(remove(&teller, 1).await, Ok(Removal::Retired));
    }
    let retired = Service { status: ServiceStatus::Retired, ..active(1, "a") };
    assert_eq!(one(&teller, 1).await, Some(retired.clone()));
    assert_eq!(page(&teller, None, 50).await.items, [retired, active(2, "b")]);
    for order_id in [1, 2, 3] {
        let refused = teller.refused(reserve_of(order(1, 1, order_id), 1, 60)).await;
        assert_eq!(refused, Rejection::ServiceRetired(service(1)));
    }
    teller.done(capture_of(order(1, 1, 1), Some(4))).await;
    teller.done(refund_of(order(1, 1, 1), None)).await;
    assert_eq!(teller.balance(1).await, (100, 0));
    assert_eq!(add(&teller, &[(3, "a")]).await, Err(CatalogueError::NameTaken(name("a"))));
    assert_eq!(add(&teller, &[(1, "c")]).await, Err(CatalogueError::IdTaken(service(1))));
    let renamed = rename(&teller, 1, "old a").await;
    assert_eq!(renamed.map(|service| service.status), Ok(ServiceStatus::Retired));
}

/// The defect of the origin: names went into SQL by concatenation. Awkward names are kept byte for byte and
/// distinguished.
pub async fn defect_13_awkward_names_are_only_names(teller: Teller) {
    let texts = [
        "'; drop table services; --",
        "a",
        "A",
        "á",
        "a\u{301}",
        "100%",
        "100_",
        "\\",
        "\"q\"",
        "=SUM(A1)",
        "a;b",
        "🦀",
        "\u{202e}rtl",
        "$1",
        "?1",
        "NULL",
    ];
    let longest = "я".repeat(127);
    let mut named: Vec<(i64, &str)> = (1..).zip(texts).collect();
    named.push((100, &longest));
    assert!(add(&teller, &named).await.is_ok());
    for (id, text) in named {
        let kept = one(&teller, id).await.map(|service| service.name);
        assert_eq!(kept.as_ref().map(ServiceName::as_str), Some(text));
    }
}
