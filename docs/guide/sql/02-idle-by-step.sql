-- How long do devices have nothing to do, step by step?
select run, step, count(total_ns) as devices, sum(total_ns) as total_ns, sum(idle_ns) as idle_ns, max(idle_ns) as most_idle_ns
from steps
group by run, step
order by run, step;
