-- Histories by amount: all kinds together, and of one service. Like the other indexes of history they leave out an
-- account's first 1,000 operations, so that nearly no command writes to them.
--
-- All kinds together, because a period of a long history may leave out all of a kind's large amounts: merged from the
-- kinds, the page would have to wait for the first row of each. `reserved_after >= 0` is true of every row. It keeps the
-- index to the statements that say so: to a planner that knows nothing of the table any index that begins with the user
-- looks as good as the one that is meant.
CREATE INDEX operations_by_amount ON operations (bucket, user_id, amount, seq)
    WHERE seq > 1000 AND reserved_after >= 0;

CREATE INDEX operations_by_service_amount ON operations (bucket, user_id, service_id, kind, amount, seq)
    WHERE seq > 1000 AND service_id IS NOT NULL;
