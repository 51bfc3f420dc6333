-- What each agent used of each model, by the hour.
create table usage (
    hour              timestamptz not null,
    agent             text        not null,
    model             text        not null,
    -- The gateway's process: each writes totals of its own, so that repeating a write is harmless.
    process           uuid        not null,
    chats             bigint      not null check (chats >= 0),
    prompt_tokens     bigint      not null check (prompt_tokens >= 0),
    completion_tokens bigint      not null check (completion_tokens >= 0),
    run_seconds       double precision not null check (run_seconds >= 0),
    primary key (hour, agent, model, process)
);
