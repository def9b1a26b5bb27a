SELECT month, n, days FROM chat_session_totals WHERE user_id = $1 /* key filters */
       UNION ALL
       SELECT month, n, days FROM chat_session_counts WHERE user_id = $1 AND slot >= 0 /* key filters */
