-- Histories by amount of one kind, and of one service. Like the other indexes of history they leave out an account's first
-- 1,000 operations, so that nearly no command writes to them.
CREATE INDEX operations_by_kind_amount    ON operations (user_id, kind, amount, seq)             WHERE seq > 1000;
CREATE INDEX operations_by_service_amount ON operations (user_id, service_id, amount, seq, kind) WHERE seq > 1000 AND service_id IS NOT NULL;
