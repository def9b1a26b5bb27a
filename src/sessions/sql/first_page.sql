-- list-chat-sessions: a page at offset 0; nothing is skipped, so a sub-select would only cost planning
/* columns */
FROM chat_sessions s
WHERE user_id = $1 /* filters */ ORDER BY last_message_at DESC, id DESC LIMIT $2 OFFSET $3
