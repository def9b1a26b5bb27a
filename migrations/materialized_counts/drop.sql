-- Uninstalls the set, or changes nothing and fails. The function notices it and computes the counts again.
-- The file may run again at any time, also on a part of the set and on an earlier version of it.

BEGIN;

-- As in 1_columns.sql: it fails rather than make writers wait.
SET LOCAL lock_timeout = '500ms';
SET LOCAL client_min_messages = warning;
LOCK TABLE users, chat_messages IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE;

-- Objects outside of the set may depend on it; their owner must drop them first.
DO $$
DECLARE
  others text;
BEGIN
  SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ') INTO others
  FROM pg_depend d
  LEFT JOIN pg_attribute a ON d.refobjsubid > 0 AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
  WHERE d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
    AND (d.refobjid = to_regclass('chat_sessions')
         AND a.attname IN ('message_count', 'last_message', 'last_message_created_at', 'last_message_id')
      OR d.refobjid IN (to_regclass('chat_session_counts'), to_regclass('chat_session_totals'),
                        to_regclass('chat_session_counted'), to_regclass('chat_session_changes')))
    AND coalesce(t.tgname !~ '^(counts|kept)_', true);
  IF others IS NOT NULL THEN
    RAISE EXCEPTION 'nothing was changed, because these depend on the set: %', others
      USING HINT = 'Drop them, or remove the set''s columns from them, and run this file again.';
  END IF;
END
$$;

DROP INDEX IF EXISTS chat_sessions_user_widget_active, chat_sessions_user_widget_closed;

DROP TRIGGER IF EXISTS counts_sessions_inserted ON chat_sessions;
DROP TRIGGER IF EXISTS counts_sessions_deleted ON chat_sessions;
DROP TRIGGER IF EXISTS counts_session_updated ON chat_sessions;
DROP TRIGGER IF EXISTS counts_sessions_truncated ON chat_sessions;
DROP TRIGGER IF EXISTS counts_users_deleted ON users;
DROP TRIGGER IF EXISTS counts_new_session ON chat_sessions;
DROP TRIGGER IF EXISTS counts_message_inserted ON chat_messages;
DROP TRIGGER IF EXISTS counts_message_updated ON chat_messages;
DROP TRIGGER IF EXISTS counts_messages_deleted ON chat_messages;
DROP TRIGGER IF EXISTS counts_messages_truncated ON chat_messages;
-- Of an earlier version.
DROP TRIGGER IF EXISTS kept_sessions_inserted ON chat_sessions;
DROP TRIGGER IF EXISTS kept_sessions_deleted ON chat_sessions;
DROP TRIGGER IF EXISTS kept_session_updated ON chat_sessions;
DROP TRIGGER IF EXISTS kept_sessions_truncated ON chat_sessions;
DROP TRIGGER IF EXISTS kept_users_deleted ON users;
DROP TRIGGER IF EXISTS kept_new_session ON chat_sessions;
DROP TRIGGER IF EXISTS kept_message_inserted ON chat_messages;
DROP TRIGGER IF EXISTS kept_message_updated ON chat_messages;
DROP TRIGGER IF EXISTS kept_messages_deleted ON chat_messages;
DROP TRIGGER IF EXISTS kept_messages_truncated ON chat_messages;

DROP VIEW IF EXISTS chat_session_tasks;
DROP TABLE IF EXISTS chat_session_counts, chat_session_totals, chat_session_counted, chat_session_changes;

DROP PROCEDURE IF EXISTS backfill_chat_messages(integer, boolean), backfill_chat_sessions(), backfill_chat_sessions_of(uuid),
  fold_chat_session_counts(), counts_revoke_execute();
DROP FUNCTION IF EXISTS counts_sessions_inserted(), counts_sessions_deleted(), counts_session_updated(),
  counts_sessions_truncated(), counts_changes_deferred(), counts_users_deleted(), counts_remove_accounts(uuid[]),
  counts_skip_loaded_row(), counts_run_task(), counts_add(uuid, date, uuid, text, integer, integer),
  counts_add_each(refcursor), counts_apply_changes(bigint), counts_fold(uuid, date, integer), counts_fold_rows(tid[]),
  counts_try_fold_lock(uuid), counts_fold_lock_key(uuid), counts_fold_lock_class(), counts_lock(),
  counts_add_days(integer[], integer[]), counts_days(integer[], integer[]), counts_slot(), counts_day(timestamptz),
  counts_month(timestamptz), counts_new_session(), counts_message_inserted(), counts_message_updated(),
  counts_messages_deleted(), counts_messages_truncated(), counts_check_row_security();
-- Of an earlier version.
DROP PROCEDURE IF EXISTS keep_chat_messages(integer, boolean), keep_chat_sessions(), keep_chat_sessions_of(uuid);
DROP FUNCTION IF EXISTS kept_sessions_counted(), kept_session_updated(), kept_changes_counted(), kept_sessions_truncated(),
  kept_sessions_deleted(), kept_users_deleted(), kept_forget(uuid[]), kept_not_loaded(), kept_task(),
  kept_count(uuid, date, uuid, text, integer, integer), kept_count_each(refcursor), kept_count_changes(bigint),
  kept_fold(uuid, date), kept_fold(uuid, date, integer), kept_fold_rows(tid[]), kept_try_fold(uuid), kept_fold_key(uuid),
  kept_fold_class(), kept_lock(), kept_sum(integer[], integer[]), kept_days(integer[], integer[]), kept_slot(),
  kept_day(timestamptz), kept_month(timestamptz), kept_new_session(), kept_message_inserted(), kept_message_updated(),
  kept_messages_deleted(), kept_messages_truncated(), kept_check_row_security();

ALTER TABLE chat_sessions RESET (fillfactor);
ALTER TABLE chat_sessions
  DROP COLUMN IF EXISTS message_count,
  DROP COLUMN IF EXISTS last_message,
  DROP COLUMN IF EXISTS last_message_created_at,
  DROP COLUMN IF EXISTS last_message_id;

COMMIT;
