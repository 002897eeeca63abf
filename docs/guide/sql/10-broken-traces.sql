-- Which traces are broken, which ranks are there twice or not known, and of which is there no trace?
with known as (
  select run, rank, trace, max(world_size) over (partition by run) as world_size,
    lead(rank) over (partition by run order by rank) as next_rank,
    lag(rank) over (partition by run order by rank) as last_rank,
    count(*) over (partition by run, rank) as traces
  from ranks
  where rank >= 0
)
select run, status, rank as first_rank, rank as last_rank, trace, error, losses
from ranks
where status <> 'complete' or losses > 0
union all
select run, 'repeated', rank, rank, trace, null, null
from known
where traces > 1
union all
select run, 'unknown rank', null, null, trace, null, null
from (select *, count(*) over (partition by run) as traces from ranks) of_run
where rank is null and status <> 'unreadable' and traces > 1
union all
select run, 'missing', rank + 1, least(coalesce(next_rank, world_size), coalesce(world_size, next_rank)) - 1, null, null, null
from known
where least(coalesce(next_rank, world_size), coalesce(world_size, next_rank)) > rank + 1
union all
select run, 'missing', 0, least(rank, coalesce(world_size, rank)) - 1, null, null, null
from known
where last_rank is null and rank > 0
order by run, status, first_rank, trace;
