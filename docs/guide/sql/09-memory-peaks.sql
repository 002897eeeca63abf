-- How much memory does each device have allocated at most, and how much reserved? Without totals in the trace: adding up.
with levels as (
  select *, sum(bytes) over (partition by run, trace_number, rank, device_type, device order by start_ns, index
    rows between unbounded preceding and current row) as level
  from memory
)
select run, rank, trace_number, device_type, device,
  coalesce(max(allocated_bytes), max(level)) as peak_bytes, max(reserved_bytes) as reserved_bytes,
  count(case when bytes > 0 then 1 end) as allocations, count(case when bytes < 0 then 1 end) as releases
from levels
group by run, rank, trace_number, device_type, device
order by run, peak_bytes desc, rank, trace_number, device_type, device;
