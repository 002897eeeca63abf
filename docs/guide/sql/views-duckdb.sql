-- A data set in DuckDB. `ds` is its directory; the column run comes from the paths, and is a text.
create or replace view events as
  select * from read_parquet('ds/run=*/table=events/*.parquet', hive_types = {'run': varchar});
create or replace view kernels as
  select * from read_parquet('ds/run=*/table=kernels/*.parquet', hive_types = {'run': varchar});
create or replace view collectives as
  select * from read_parquet('ds/run=*/table=collectives/*.parquet', hive_types = {'run': varchar});
create or replace view steps as
  select * from read_parquet('ds/run=*/table=steps/*.parquet', hive_types = {'run': varchar});
create or replace view memory as
  select * from read_parquet('ds/run=*/table=memory/*.parquet', hive_types = {'run': varchar});
create or replace view ranks as
  select * from read_parquet('ds/run=*/table=ranks/*.parquet', hive_types = {'run': varchar});
