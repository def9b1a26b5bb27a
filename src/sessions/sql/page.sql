-- list-chat-sessions: a page
SELECT s.id, s.widget_id,
       (SELECT w.name FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       s.visitor_id, s.visitor_name, s.visitor_email, s.status,
       /* kept: CASE WHEN s.message_count IS NOT NULL THEN s.last_message ELSE :kept */
       (SELECT m.content FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) /* kept: END :kept */ AS last_message,
       s.last_message_at,
       /* kept: coalesce(s.message_count, :kept */
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) /* kept: ) :kept */ AS message_count,
       s.page_url, s.created_at,
       /* total */ AS total
FROM (SELECT * FROM chat_sessions WHERE user_id = $1 /* filters */
      ORDER BY last_message_at DESC, id DESC LIMIT $2 OFFSET $3) s
ORDER BY s.last_message_at DESC, s.id DESC
