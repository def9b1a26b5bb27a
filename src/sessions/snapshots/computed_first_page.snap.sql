-- list-chat-sessions: computed, first page
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1) AS total
FROM chat_sessions s WHERE user_id = $1
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, widget_id
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2) AS total
FROM chat_sessions s WHERE user_id = $1 AND widget_id = $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, status
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND status = 'active') AS total
FROM chat_sessions s WHERE user_id = $1 AND status = 'active'
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, widget_id, status
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active') AS total
FROM chat_sessions s WHERE user_id = $1 AND widget_id = $2 AND status = 'active'
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND created_at >= $2) AS total
FROM chat_sessions s WHERE user_id = $1 AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, widget_id, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3) AS total
FROM chat_sessions s WHERE user_id = $1 AND widget_id = $2 AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND status = 'active' AND created_at >= $2) AS total
FROM chat_sessions s WHERE user_id = $1 AND status = 'active' AND created_at >= $2
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page, widget_id, status, from_date
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN E'\x1A' ELSE w.name END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN E'\x1A' ELSE s.visitor_id END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN E'\x1A' ELSE s.visitor_name END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN E'\x1A' ELSE s.visitor_email END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN E'\x1A' ELSE s.status END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN E'\x1A' ELSE m.content END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN E'\x1A' ELSE s.page_url END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3) AS total
FROM chat_sessions s WHERE user_id = $1 AND widget_id = $2 AND status = 'active' AND created_at >= $3
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;

-- list-chat-sessions: computed, first page
SELECT s.id, s.widget_id,
       (SELECT CASE WHEN octet_length(w.name) > 60000 THEN substr(convert_to(left(w.name, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(w.name, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       CASE WHEN octet_length(s.visitor_id) > 60000 THEN substr(convert_to(left(s.visitor_id, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.visitor_id, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS visitor_id,
       CASE WHEN octet_length(s.visitor_name) > 60000 THEN substr(convert_to(left(s.visitor_name, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.visitor_name, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS visitor_name,
       CASE WHEN octet_length(s.visitor_email) > 60000 THEN substr(convert_to(left(s.visitor_email, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.visitor_email, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS visitor_email,
       CASE WHEN octet_length(s.status) > 60000 THEN substr(convert_to(left(s.status, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.status, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS status,
       (SELECT CASE WHEN octet_length(m.content) > 320000 THEN substr(convert_to(left(m.content, 320001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 320001) ELSE convert_to(m.content, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_message,
       s.last_message_at,
       (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id) AS message_count,
       CASE WHEN octet_length(s.page_url) > 60000 THEN substr(convert_to(left(s.page_url, 60001), CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name), 1, 60001) ELSE convert_to(s.page_url, CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name) END AS page_url,
       s.created_at,
       (SELECT count(*) FROM chat_sessions WHERE user_id = $1) AS total
FROM chat_sessions s WHERE user_id = $1
      ORDER BY last_message_at DESC, id DESC LIMIT 50 OFFSET 0;
