-- list-chat-sessions: a page at a deep offset; the skipped rows are read from the index alone
/* columns */
FROM (SELECT c.* FROM (SELECT id FROM chat_sessions WHERE user_id = $1 /* filters */
                       ORDER BY last_message_at DESC, id DESC LIMIT $2 OFFSET $3) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC
