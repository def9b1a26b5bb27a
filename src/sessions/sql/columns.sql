SELECT s.id, s.widget_id,
       (SELECT /* text w.name */ FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       /* text s.visitor_id */ AS visitor_id,
       /* text s.visitor_name */ AS visitor_name,
       /* text s.visitor_email */ AS visitor_email,
       /* text s.status */ AS status,
       /* kept: CASE WHEN s.message_count IS NOT NULL THEN /* message s.last_message */ ELSE :kept */
       (SELECT /* message m.content */ FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) /* kept: END :kept */ AS last_message,
       s.last_message_at,
       /* kept: coalesce(s.message_count, :kept */
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) /* kept: ) :kept */ AS message_count,
       /* text s.page_url */ AS page_url,
       s.created_at,
       /* total */ AS total
