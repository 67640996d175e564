#!/usr/bin/env bash
# The database and its two roles (docs/operations.md, "Two roles"): `balance_owner` owns the schema and is used by
# `balance migrate` alone; `balance_app` reads and writes rows, and is what the service connects as. Run once, as
# superuser; the image of PostgreSQL does so when it makes its data folder.
set -euo pipefail

psql --set=ON_ERROR_STOP=1 --no-psqlrc --quiet --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
    --set=owner_password="${BALANCE_OWNER_PASSWORD:?}" --set=app_password="${BALANCE_APP_PASSWORD:?}" <<'SQL'
CREATE ROLE balance_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE balance_app LOGIN PASSWORD :'app_password';
CREATE DATABASE balance OWNER balance_owner;
REVOKE ALL ON DATABASE balance FROM PUBLIC;
GRANT CONNECT ON DATABASE balance TO balance_app;
\connect balance
GRANT USAGE ON SCHEMA public TO balance_app;
-- For everything that migrations are still to make.
ALTER DEFAULT PRIVILEGES FOR ROLE balance_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO balance_app;
ALTER DEFAULT PRIVILEGES FOR ROLE balance_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO balance_app;
SQL
