-- list-chat-sessions: the total alone
SELECT count(*) AS total FROM chat_sessions WHERE user_id = $1 /* filters */
