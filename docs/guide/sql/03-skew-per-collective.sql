-- How far apart do ranks come to the same collective? They leave it together: who comes late is in it for a short time.
with calls as (
  select run, group_name, group_ranks, collective, sequence,
    count(*) as ranks, sum(dur_ns) as total_ns, min(dur_ns) as transfer_ns, max(dur_ns) as longest_ns
  from collectives
  where category = 'collective' and sequence is not null
  group by run, group_name, group_ranks, collective, sequence
)
select run, group_name, group_ranks, collective, count(*) as calls, sum(total_ns) as total_ns, sum(transfer_ns) as transfer_ns,
  sum(total_ns - ranks * transfer_ns) as waited_ns, max(longest_ns - transfer_ns) as worst_skew_ns
from calls
group by run, group_name, group_ranks, collective
order by run, waited_ns desc, group_name, group_ranks, collective;
