-- Which ranks come last to collectives, and how long do the others wait for them?
with arrivals as (
  select run, rank, trace_number, dur_ns,
    row_number() over by_time as place, lead(dur_ns) over by_time as next_ns,
    sum(dur_ns) over of_call as total_ns, count(*) over of_call as ranks
  from collectives
  where category = 'collective' and sequence is not null
    and collective not in ('broadcast', 'reduce', 'gather', 'scatter', 'send', 'recv')
  window of_call as (partition by run, group_name, group_ranks, collective, sequence),
    by_time as (partition by run, group_name, group_ranks, collective, sequence order by dur_ns)
)
select run, rank, trace_number, count(*) as came_last, sum(total_ns - ranks * dur_ns) as others_wait_ns
from arrivals
where place = 1 and dur_ns < next_ns
group by run, rank, trace_number
order by run, others_wait_ns desc, rank, trace_number;
