-- Every alert the monitor has raised, and when it ended.
create table alerts (
    rule        text        not null,
    -- The service's name; 'machine' for the machine.
    subject     text        not null,
    -- When the rule began to hold.
    since       timestamptz not null,
    severity    text        not null check (severity in ('warning', 'critical')),
    summary     text        not null,
    value       double precision not null,
    raised_at   timestamptz not null,
    -- Null while the alert is active.
    resolved_at timestamptz,
    primary key (rule, subject, since),
    check (resolved_at is null or resolved_at >= since)
);

create index alerts_open on alerts (raised_at) where resolved_at is null;
