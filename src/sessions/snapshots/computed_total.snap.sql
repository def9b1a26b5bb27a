-- list-chat-sessions: computed, total
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1) AS total;

-- list-chat-sessions: computed, total, widget_id
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2) AS total;

-- list-chat-sessions: computed, total, status
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND status = 'active') AS total;

-- list-chat-sessions: computed, total, widget_id, status
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active') AS total;

-- list-chat-sessions: computed, total, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND created_at >= $2) AS total;

-- list-chat-sessions: computed, total, widget_id, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3) AS total;

-- list-chat-sessions: computed, total, status, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2) AS total;

-- list-chat-sessions: computed, total, widget_id, status, from_date
SELECT (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3) AS total;
