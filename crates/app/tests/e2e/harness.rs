//! Starts, stops and kills the binary, and talks to it.

mod api;
mod follower;
mod postgres;
mod server;
mod world;

pub(crate) use self::{
    api::{Answer, Api, new_key},
    follower::Follower,
    postgres::run_sql,
    server::Server,
    world::{Store, World},
};

/// Makes each named function a test on SQLite and a test on PostgreSQL.
macro_rules! on_every_store {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::harness::World::new($crate::harness::Store::Sqlite)).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::harness::World::new($crate::harness::Store::Postgres)).await;
            })+
        }
    };
}
pub(crate) use on_every_store;
