-- How long does a rank communicate, and how much of that does no computation hide?
select run, rank, device, count(*) as steps, sum(total_ns) as total_ns,
  sum(communication_ns) as communication_ns, sum(exposed_communication_ns) as exposed_communication_ns,
  1.0e0 * sum(exposed_communication_ns) / sum(total_ns) as exposed_share
from steps
where total_ns is not null
group by run, rank, device
order by run, exposed_communication_ns desc, rank, device;
