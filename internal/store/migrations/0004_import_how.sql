-- What else tells whether a file needs to be imported again.

ALTER TABLE job_files ADD COLUMN etag TEXT NOT NULL DEFAULT '';      -- of an S3 object
ALTER TABLE job_files ADD COLUMN selection TEXT NOT NULL DEFAULT ''; -- filter.Filter.Selection of the import; '': all records

ALTER TABLE imported_files ADD COLUMN etag TEXT NOT NULL DEFAULT '';
ALTER TABLE imported_files ADD COLUMN selection TEXT NOT NULL DEFAULT '';
