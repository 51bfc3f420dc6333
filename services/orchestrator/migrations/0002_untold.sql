-- What the memory's log of actions is still to be told of runs, written in the transaction in which it
-- happened: began, was taken up again, failed or was cancelled. That a run finished is a step of its own.
create table untold (
    ordinal bigint generated always as identity primary key,
    run_id uuid not null references runs (id),
    action text not null,
    summary text not null
);
create index untold_run on untold (run_id);
