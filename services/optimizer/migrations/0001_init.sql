-- Scores of what agents put out, cases to try instructions on, every version of instructions, and
-- the journal of which are put in force.

-- How far the orchestrator's outputs were read.
create table cursors (
    name  text primary key,
    value text not null
);

create table scores (
    ordinal              bigint generated always as identity primary key,
    id                   uuid not null unique,             -- version 7
    output_id            text not null unique,             -- each output is scored once
    run_id               text not null,
    agent                text not null,
    instructions_version text not null,
    input                text not null,
    output               text not null,
    score                double precision not null check (score between 0 and 1),
    functions            jsonb not null,
    output_at            timestamptz,
    at                   timestamptz not null
);
create index scores_of_agent on scores (agent, ordinal desc);

create table cases (
    ordinal         bigint generated always as identity primary key,
    id              uuid not null unique,
    agent           text not null,
    input           text not null,
    expectation     jsonb not null,
    idempotency_key text unique,                           -- null: none
    created_at      timestamptz not null
);
create index cases_of_agent on cases (agent, ordinal desc);

-- The agents as the orchestrator showed them last.
create table agents (
    name                 text primary key,
    instructions_version text not null,
    is_present           boolean not null,                 -- false: config.yaml has it no more
    seen_at              timestamptz not null
);

-- Every version of an agent's instructions; also those that lost their experiment.
create table versions (
    ordinal      bigint generated always as identity primary key,
    agent        text not null,
    version      text not null,
    instructions text not null,
    score        double precision not null check (score between 0 and 1),
    was_in_force boolean not null,
    reason       text not null,
    created_at   timestamptz not null,
    unique (agent, version)
);

create table experiments (
    id          uuid primary key,                          -- version 7; its bytes seed the bootstrap
    agent       text not null,
    old_version text not null,
    new_version text not null,                             -- empty: it came to none
    old_score   double precision not null,
    new_score   double precision not null,
    pairs       jsonb not null,                            -- [[old, new], …] of each case
    outcome     text not null check (outcome in ('promoted', 'kept', 'failed')),
    reason      text not null,
    at          timestamptz not null
);
create index experiments_of_agent on experiments (agent, at desc);

-- Instructions to be put in force: journalled in the transaction that decides, carried out at the
-- orchestrator afterwards, again after a crash.
create table switches (
    ordinal    bigint generated always as identity primary key,
    id         uuid not null unique,
    agent      text not null,
    version    text not null,
    cause      text not null check (cause in ('promotion', 'rollback')),
    reason     text not null,
    state      text not null check (state in ('pending', 'applied', 'superseded', 'refused')),
    is_logged  boolean not null default false,             -- in the memory's log of actions
    created_at timestamptz not null,
    ended_at   timestamptz,
    foreign key (agent, version) references versions (agent, version)
);
create unique index switches_pending on switches (agent) where state = 'pending';
create index switches_unlogged on switches (ordinal) where state = 'applied' and not is_logged;
