-- A data set in Spark. `ds` is its directory, which may be a URL; the columns run and table come from the paths,
-- as texts.
set spark.sql.sources.partitionColumnTypeInference.enabled = false;
create or replace temporary view events
  using parquet options (path 'ds/run=*/table=events', basePath 'ds');
create or replace temporary view kernels
  using parquet options (path 'ds/run=*/table=kernels', basePath 'ds');
create or replace temporary view collectives
  using parquet options (path 'ds/run=*/table=collectives', basePath 'ds');
create or replace temporary view steps
  using parquet options (path 'ds/run=*/table=steps', basePath 'ds');
create or replace temporary view memory
  using parquet options (path 'ds/run=*/table=memory', basePath 'ds');
create or replace temporary view ranks
  using parquet options (path 'ds/run=*/table=ranks', basePath 'ds');
