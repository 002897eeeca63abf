-- Which kernels became slower from the run `base` to the run `new`, in a mean step of a rank?
with lengths as (
  select run, count(*) as steps
  from (select distinct run, trace_number, rank, step from steps where run in ('base', 'new')) each_step
  group by run
), times as (
  select run, name, sum(dur_ns) as sum_ns, count(*) as launches
  from kernels
  where step is not null
  group by run, name
), means as (
  select times.run, name, cast(round(sum_ns / steps) as bigint) as mean_ns, launches
  from times join lengths on times.run = lengths.run
), names as (
  select name,
    max(case when run = 'base' then mean_ns else 0 end) as base_ns,
    max(case when run = 'new' then mean_ns else 0 end) as new_ns
  from means
  where (select count(*) from lengths) = 2
  group by name
)
select name, base_ns, new_ns, new_ns - base_ns as more_ns
from names
order by more_ns desc, name;
