-- Of which run, what of the prompts was calculated before, and how long requests waited.
alter table usage
    add column run_id        text             not null default '',
    add column reused_tokens bigint           not null default 0 check (reused_tokens >= 0),
    add column queue_seconds double precision not null default 0 check (queue_seconds >= 0),
    add column cpu_seconds   double precision not null default 0 check (cpu_seconds >= 0),
    drop constraint usage_pkey,
    add primary key (hour, agent, run_id, model, process);
