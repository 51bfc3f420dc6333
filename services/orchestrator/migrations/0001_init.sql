-- Runs of agents and their journal. Every row of steps, events and outputs is written while the
-- run's row is locked, by the owner of its lease: that gives positions and sequences without gaps
-- and keeps an owner that lost its lease from writing.

create table runs (
    id uuid primary key,                      -- version 7: its order is the order of creation
    goal text not null,
    namespace text not null,
    agents text[] not null,                   -- the agents that may be chosen; empty: all
    state text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    answer text not null default '',
    error text not null default '',
    created_at timestamptz not null,
    finished_at timestamptz,
    deadline_at timestamptz not null,         -- when it fails if it has not ended
    steps_done integer not null default 0,
    last_position bigint not null default 0,  -- of steps
    last_sequence bigint not null default 0,  -- of events
    owner uuid,                               -- the process that works on it
    lease_until timestamptz                   -- free for others after that
);
create index runs_open on runs (id) where state in ('queued', 'running');

-- A key starts one run.
create table run_keys (
    key text primary key,
    run_id uuid not null references runs (id)
);

create table steps (
    run_id uuid not null references runs (id),
    key text not null,
    position bigint not null,
    kind text not null,
    agent text not null,
    state text not null check (state in ('running', 'done', 'failed')),
    input jsonb not null,
    output jsonb,
    error text not null default '',
    attempts integer not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    primary key (run_id, key),
    unique (run_id, position),
    check ((state = 'done') = (output is not null))
);

create table events (
    run_id uuid not null references runs (id),
    sequence bigint not null,
    at timestamptz not null,
    kind text not null,
    agent text not null,
    step_key text not null,
    text text not null,
    data jsonb,
    primary key (run_id, sequence)
);

-- What agents put out for their tasks. Ordinals are given under a lock, so that they become
-- visible in their order and no reader's cursor passes one that is yet to come.
create table outputs (
    ordinal bigint generated always as identity primary key,
    id uuid not null unique,
    run_id uuid not null references runs (id),
    step_key text not null,
    agent text not null,
    instructions_version text not null,
    model text not null,
    input text not null,
    output text not null,
    at timestamptz not null,
    unique (run_id, step_key)
);

create table alerts (
    id uuid primary key,                      -- version 7
    idempotency_key text not null unique,
    source text not null,
    name text not null,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    summary text not null,
    details jsonb,
    at timestamptz not null,
    resolved boolean not null
);

-- Instructions set instead of those of config.yaml.
create table agent_instructions (
    agent text primary key,
    instructions text not null,
    version text not null,
    set_at timestamptz not null
);
