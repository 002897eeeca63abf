-- How fast are collectives, by size? In GB/s (a billion bytes) as nccl-tests counts: bus = algorithm * factor.
with calls as (
  select run, group_name, group_ranks, collective, sequence,
    max(group_size) as group_size, max(in_elements) as in_elements, max(out_elements) as out_elements,
    max(case
      when lower(dtype) in ('byte', 'char', 'bool', 'int8', 'uint8') or lower(dtype) like 'float8%' then 1
      when lower(dtype) in ('half', 'bfloat16', 'short', 'float16', 'int16', 'fp16', 'bfp16') then 2
      when lower(dtype) in ('int', 'float', 'int32', 'float32', 'fp32') then 4
      when lower(dtype) in ('long', 'double', 'int64', 'float64', 'fp64') then 8
    end) as element_bytes,
    min(dur_ns) as transfer_ns
  from collectives
  where category = 'collective' and sequence is not null and group_size > 1 and collective <> 'barrier'
  group by run, group_name, group_ranks, collective, sequence
), messages as (
  select *, case when collective like '%allgather%' or collective like '%all_gather%' then out_elements else in_elements end
    as elements
  from calls
), sized as (
  select run, group_name, group_ranks, collective, group_size, transfer_ns,
    case when elements < 1000000000000000 then element_bytes * elements end as message_bytes,
    case
      when collective like '%allreduce%' or collective like '%all_reduce%' then 2.0e0 * (group_size - 1) / group_size
      when collective in ('broadcast', 'reduce', 'send', 'recv') then 1.0e0
      else 1.0e0 * (group_size - 1) / group_size
    end as factor
  from messages
)
select run, group_name, group_ranks, collective, group_size, message_bytes, count(*) as calls, sum(transfer_ns) as transfer_ns,
  1.0e0 * message_bytes * count(*) / sum(transfer_ns) as algorithm_gbps,
  max(factor) * message_bytes * count(*) / sum(transfer_ns) as bus_gbps
from sized
group by run, group_name, group_ranks, collective, group_size, message_bytes
order by run, collective, message_bytes, group_name, group_ranks, group_size;
