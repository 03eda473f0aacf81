-- Whether any job still asks a question, told without a look at all jobs: what nobody asks goes with the last of them.
CREATE INDEX jobs_of_question ON jobs (question_id);
