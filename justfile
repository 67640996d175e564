# Every recurring command of the project. README and CI call the same ones; each is a plain command that
# also works without `just`.

# List what there is.
default:
    @just --list

# Serve on 127.0.0.1:8080 with data/balance.db.
run *ARGS:
    cargo run --release -- {{ARGS}}

# Run every test, with a real PostgreSQL and a real browser.
test:
    ./test

# What CI runs.
ci:
    bash .ci/run

# Formatting and lints, warnings denied.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy -p balance-app --all-targets --features otel --locked -- -D warnings

# Faults on real processes: quick by default, `just faults --full` for a release.
faults *ARGS="--quick":
    cargo build --release -p balance-app
    cargo run --release -p balance-faults -- all {{ARGS}}

# Every target of the project in one run and one table: `just targets --store sqlite --data tmpfs --json a.json`. It
# measures what is shipped, the profile `dist`.
targets *ARGS:
    cargo build --profile dist -p balance-app -p balance-bench
    target/dist/balance-bench targets {{ARGS}}

# Tables of several runs side by side: `just table a.json b.json`.
table +FILES:
    cargo run --profile dist -p balance-bench -- table {{FILES}}

# Chosen workloads over HTTP, beside the roofline of the same run: `just bench --store sqlite --data tmpfs`.
bench *ARGS:
    cargo build --profile dist -p balance-app -p balance-bench
    target/dist/balance-bench run {{ARGS}}

# Fill an empty, migrated store with a large ledger: `just grow --database-url sqlite:large.db --accounts 1000000`.
grow *ARGS:
    cargo run --profile dist -p balance-bench -- grow {{ARGS}}

# A PostgreSQL to grow a store in, until Ctrl-C; prints its URL.
bench-postgres *ARGS:
    cargo run --profile dist -p balance-bench -- postgres {{ARGS}}

# Regenerate docs/openapi.json after a change of the API.
openapi:
    cargo run -p balance-app -- openapi > docs/openapi.json

# Licences, bans and sources of all dependencies.
deny:
    PATH="$(deploy/ci/tools):$PATH" cargo deny check bans licenses sources

# Dockerfile, compose.yaml, alarms, systemd unit.
deployment:
    deploy/ci/deployment
