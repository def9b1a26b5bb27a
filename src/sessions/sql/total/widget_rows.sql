SELECT month, n, days FROM chat_session_counts WHERE user_id = $1 /* key filters */
