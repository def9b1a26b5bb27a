-- list-chat-sessions: a page
/* columns */
FROM (SELECT * FROM chat_sessions WHERE user_id = $1 /* filters */
      ORDER BY last_message_at DESC, id DESC LIMIT $2 OFFSET $3) s
ORDER BY s.last_message_at DESC, s.id DESC
