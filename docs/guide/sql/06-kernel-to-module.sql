-- Which module does device time belong to, and with which kernels?
select run, module, name, count(*) as launches, sum(dur_ns) as total_ns
from kernels
group by run, module, name
order by run, total_ns desc, module, name;
