(SELECT count(*) FROM chat_sessions WHERE user_id = $1 /* filters */)
