-- list-chat-sessions: a page
SELECT s.id, s.widget_id,
       (SELECT w.name FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       s.visitor_id, s.visitor_name, s.visitor_email, s.status,
       (SELECT m.content FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       s.page_url, s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 /* filters */) AS total
FROM (SELECT * FROM chat_sessions WHERE user_id = $1 /* filters */
      ORDER BY last_message_at DESC, id DESC LIMIT $2 OFFSET $3) s
ORDER BY s.last_message_at DESC, s.id DESC
