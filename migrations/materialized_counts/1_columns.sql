-- Adds the number of messages and the newest message of a session to the session's own row, maintained by triggers.
--
-- docs/materialized-counts.md says what the set is for and how to install it. A `message_count` of NULL means that the
-- session is not backfilled yet: ignore the other three columns and count its messages. Sessions created after this file
-- are counted from their first message. The file may run again at any time, also on an earlier version of the set.

BEGIN;

-- The locks block writers for a few milliseconds. The timeout is shorter than deadlock_timeout, so in a deadlock this file
-- fails and not a writer. Then run it again.
SET LOCAL lock_timeout = '500ms';
SET LOCAL client_min_messages = warning;
LOCK TABLE chat_messages IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE;

-- The trigger functions run as their owner with this search path, so they ignore the caller's path and temporary tables.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

DO $$
BEGIN
  -- This foreign key guarantees that a new session has no messages and that a session with messages keeps its id.
  IF NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND conrelid = 'chat_messages'::regclass AND confrelid = 'chat_sessions'::regclass
      AND convalidated AND NOT condeferrable AND confupdtype IN ('a', 'r'))
  THEN
    RAISE EXCEPTION 'chat_messages needs a valid foreign key to chat_sessions, not deferrable, without ON UPDATE CASCADE';
  END IF;
  -- Rows that row level security hides from the functions' owner would be missing from the counts without an error.
  IF row_security_active('chat_sessions') OR row_security_active('chat_messages') THEN
    RAISE EXCEPTION 'row level security on chat_sessions or chat_messages hides rows from %, who would own the triggers', current_user
      USING HINT = 'Install the set as the tables'' owner without FORCE ROW LEVEL SECURITY, or as an owner with BYPASSRLS.';
  END IF;
  -- Messages written while a trigger was missing are not counted, and nothing shows which ones they are.
  IF EXISTS (SELECT FROM pg_attribute
             WHERE attrelid = 'chat_sessions'::regclass AND attname = 'message_count' AND atthasdef)
    AND (SELECT count(*) FROM pg_trigger
         WHERE tgrelid IN ('chat_sessions'::regclass, 'chat_messages'::regclass) AND tgname ~ '^(counts|kept)_(new_s|message)'
           AND tgenabled = 'O') <> 5
  THEN
    RAISE EXCEPTION 'a trigger of the set is missing or disabled: run drop.sql and install the set again';
  END IF;
END
$$;

-- No default yet: existing sessions stay NULL and no row is rewritten.
ALTER TABLE chat_sessions
  ADD COLUMN IF NOT EXISTS message_count integer,
  ADD COLUMN IF NOT EXISTS last_message text,
  ADD COLUMN IF NOT EXISTS last_message_created_at timestamptz,
  ADD COLUMN IF NOT EXISTS last_message_id uuid;

-- Each message updates its session twice: the product's trigger changes an indexed column, and then this set's trigger does
-- not. The second update touches no index if the new row version fits on the same page. At the default fillfactor of 100
-- one of three did.
ALTER TABLE chat_sessions SET (fillfactor = 80);

-- An earlier version of the set used other names.
DROP TRIGGER IF EXISTS kept_new_session ON chat_sessions;
DROP TRIGGER IF EXISTS kept_message_inserted ON chat_messages;
DROP TRIGGER IF EXISTS kept_message_updated ON chat_messages;
DROP TRIGGER IF EXISTS kept_messages_deleted ON chat_messages;
DROP TRIGGER IF EXISTS kept_messages_truncated ON chat_messages;
DROP PROCEDURE IF EXISTS keep_chat_messages(integer, boolean);
DROP FUNCTION IF EXISTS kept_new_session(), kept_message_inserted(), kept_message_updated(), kept_messages_deleted(),
  kept_messages_truncated(), kept_check_row_security();

CREATE OR REPLACE FUNCTION counts_new_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.message_count := 0;
  NEW.last_message := NULL;
  NEW.last_message_created_at := NULL;
  NEW.last_message_id := NULL;
  RETURN NEW;
END
$$;

-- Rejects a write if FORCE ROW LEVEL SECURITY was enabled after the installation, because the counts could become wrong.
CREATE OR REPLACE FUNCTION counts_check_row_security() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF row_security_active('chat_sessions') OR row_security_active('chat_messages') THEN
    RAISE EXCEPTION 'row level security hides chat sessions or messages from %, who owns the triggers that count them', current_user
      USING HINT = 'Give that role BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or run migrations/materialized_counts/drop.sql.';
  END IF;
END
$$;

-- Every change of a message updates its session's row, even if no value changes and even if message_count is and stays
-- NULL. The row lock makes concurrent changes to one session's messages wait for each other, and the backfill wait for
-- both. A REPEATABLE READ transaction, whose snapshot may lack the newest message, gets 40001 instead of a wrong value.

-- The newest message is the first in the order `created_at DESC, id DESC`; a message without a time comes first. A new
-- message nearly always is the newest, so one UPDATE is enough. If another writer holds the row, PostgreSQL waits and checks
-- the condition again with the new values.
CREATE OR REPLACE FUNCTION counts_message_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE chat_sessions s SET
    message_count = s.message_count + 1,
    last_message = NEW.content,
    last_message_created_at = NEW.created_at,
    last_message_id = NEW.id
  WHERE s.id = NEW.session_id AND (s.message_count = 0 OR s.last_message_created_at < NEW.created_at);
  IF NOT FOUND THEN
    PERFORM counts_check_row_security();
    PERFORM FROM chat_sessions WHERE id = NEW.session_id FOR NO KEY UPDATE;
    UPDATE chat_sessions s SET
      message_count = s.message_count + 1,
      (last_message, last_message_created_at, last_message_id) = (
        SELECT m.content, m.created_at, m.id FROM chat_messages m
        WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
    WHERE s.id = NEW.session_id;
  END IF;
  RETURN NULL;
END
$$;

-- Locks the sessions first, ordered by id, so that the next statement sees what earlier writers have committed.
-- Each function repeats these two statements: one shared function with arrays as parameters took twice as long.
CREATE OR REPLACE FUNCTION counts_message_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM counts_check_row_security();
  PERFORM FROM chat_sessions WHERE id IN (OLD.session_id, NEW.session_id) ORDER BY id FOR NO KEY UPDATE;
  UPDATE chat_sessions s SET
    message_count = s.message_count + (s.id = NEW.session_id)::integer - (s.id = OLD.session_id)::integer,
    (last_message, last_message_created_at, last_message_id) = (
      SELECT m.content, m.created_at, m.id FROM chat_messages m
      WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
  WHERE s.id IN (OLD.session_id, NEW.session_id);
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION counts_messages_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM counts_check_row_security();
  PERFORM FROM chat_sessions WHERE id IN (SELECT session_id FROM gone) ORDER BY id FOR NO KEY UPDATE;
  -- Finds none if the messages were deleted together with their session.
  IF FOUND THEN
    UPDATE chat_sessions s SET
      message_count = s.message_count - g.n,
      (last_message, last_message_created_at, last_message_id) = (
        SELECT m.content, m.created_at, m.id FROM chat_messages m
        WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
    FROM (SELECT session_id, count(*)::integer AS n FROM gone GROUP BY session_id) g
    WHERE s.id = g.session_id;
  END IF;
  RETURN NULL;
END
$$;

-- TRUNCATE also removes messages that its snapshot does not show, and the snapshot may lack their sessions, which then could
-- not be updated. TRUNCATE chat_sessions CASCADE is allowed: it leaves no session with a wrong value.
CREATE OR REPLACE FUNCTION counts_messages_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM counts_check_row_security();
  IF current_setting('transaction_isolation') <> 'read committed' AND pg_relation_size('chat_sessions') > 0 THEN
    RAISE EXCEPTION 'TRUNCATE chat_messages at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'feature_not_supported';
  END IF;
  UPDATE chat_sessions
  SET message_count = 0, last_message = NULL, last_message_created_at = NULL, last_message_id = NULL
  WHERE message_count <> 0;
  RETURN NULL;
END
$$;

-- Resets the values that a dump or a copy of another session's row contains.
CREATE OR REPLACE TRIGGER counts_new_session BEFORE INSERT ON chat_sessions FOR EACH ROW
  WHEN (NEW.message_count IS DISTINCT FROM 0 OR NEW.last_message IS NOT NULL
        OR NEW.last_message_created_at IS NOT NULL OR NEW.last_message_id IS NOT NULL)
  EXECUTE FUNCTION counts_new_session();
CREATE OR REPLACE TRIGGER counts_message_inserted AFTER INSERT ON chat_messages FOR EACH ROW
  EXECUTE FUNCTION counts_message_inserted();
-- Not UPDATE OF: another trigger may change a column that the statement does not name. Marking a message as read calls no
-- function. COLLATE "C": some collations treat different texts as equal.
CREATE OR REPLACE TRIGGER counts_message_updated AFTER UPDATE ON chat_messages FOR EACH ROW
  WHEN ((OLD.id, OLD.session_id, OLD.created_at, OLD.content COLLATE "C")
        IS DISTINCT FROM (NEW.id, NEW.session_id, NEW.created_at, NEW.content COLLATE "C"))
  EXECUTE FUNCTION counts_message_updated();
CREATE OR REPLACE TRIGGER counts_messages_deleted AFTER DELETE ON chat_messages
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION counts_messages_deleted();
CREATE OR REPLACE TRIGGER counts_messages_truncated AFTER TRUNCATE ON chat_messages
  FOR EACH STATEMENT EXECUTE FUNCTION counts_messages_truncated();

-- Only now, because only sessions created under the triggers may start with a count.
ALTER TABLE chat_sessions ALTER COLUMN message_count SET DEFAULT 0;

-- Firing a trigger needs no EXECUTE privilege, so only the owner keeps it. Default privileges may have granted it to others.
CREATE OR REPLACE PROCEDURE counts_revoke_execute() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT p.oid::regprocedure AS routine, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE pronamespace = current_schema()::regnamespace AND proname ~ '^(counts|backfill_chat|fold_chat)_' AND a.grantee <> proowner
  LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', r.routine, r.grantee);
  END LOOP;
END
$$;
CALL counts_revoke_execute();

COMMIT;
