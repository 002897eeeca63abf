-- Which kernels take the most time, over all ranks?
select run, name, category, count(*) as launches, sum(dur_ns) as total_ns, max(dur_ns) as longest_ns
from kernels
group by run, name, category
order by run, total_ns desc, name
limit 100;
