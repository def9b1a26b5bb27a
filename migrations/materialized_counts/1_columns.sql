-- Kept columns: how many messages a session has, and the newest of them, on the session itself.
--
-- docs/kept.md says what the set is for and how to install it. Where `message_count` is NULL nothing is kept, the other
-- three columns mean nothing, and whoever reads the session counts for himself: so is every session until the backfill
-- has come to it. A session made after this file is kept from its first message. May run again at any time.

BEGIN;

-- Writers are kept out for some milliseconds. This file does not wait for them any longer than this, which is less than
-- deadlock_timeout: of two that wait for each other it is this file that gives up, and not a writer. Then run it again.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE chat_messages IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE;

-- The functions run as their owner: whatever path and temporary tables their caller has, they find this schema alone.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

DO $$
BEGIN
  -- That a new session has no message, and keeps its id while it has some, follows from the usual reference.
  IF NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND conrelid = 'chat_messages'::regclass AND confrelid = 'chat_sessions'::regclass
      AND convalidated AND NOT condeferrable AND confupdtype IN ('a', 'r'))
  THEN
    RAISE EXCEPTION 'chat_messages must have a valid reference to chat_sessions, not deferrable, without ON UPDATE CASCADE';
  END IF;
  -- The functions would not see what row level security hides from their owner, and keep something else without an error.
  IF row_security_active('chat_sessions') OR row_security_active('chat_messages') THEN
    RAISE EXCEPTION 'row level security on chat_sessions or chat_messages hides rows from %, as whom the set would run', current_user
      USING HINT = 'Install the set as the tables'' owner without FORCE ROW LEVEL SECURITY, or as an owner with BYPASSRLS.';
  END IF;
  -- What was written without the triggers is not kept, and nobody can tell it apart.
  IF EXISTS (SELECT FROM pg_attribute
             WHERE attrelid = 'chat_sessions'::regclass AND attname = 'message_count' AND atthasdef)
    AND (SELECT count(*) FROM pg_trigger
         WHERE tgrelid IN ('chat_sessions'::regclass, 'chat_messages'::regclass) AND tgname ~ '^kept_(new_s|message)'
           AND tgenabled = 'O') <> 5
  THEN
    RAISE EXCEPTION 'a trigger of the set is missing or disabled: run drop.sql and install the set anew';
  END IF;
END
$$;

-- Without a default, so that the sessions that are there stay NULL, and no row is written.
ALTER TABLE chat_sessions
  ADD COLUMN IF NOT EXISTS message_count integer,
  ADD COLUMN IF NOT EXISTS last_message text,
  ADD COLUMN IF NOT EXISTS last_message_created_at timestamptz,
  ADD COLUMN IF NOT EXISTS last_message_id uuid;

-- A message updates its session twice: the product's trigger, which rewrites the indexes, and then ours, which does not as
-- long as there is room on the same page. Without room kept for it that was so for one of three.
ALTER TABLE chat_sessions SET (fillfactor = 80);

CREATE OR REPLACE FUNCTION kept_new_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.message_count := 0;
  NEW.last_message := NULL;
  NEW.last_message_created_at := NULL;
  NEW.last_message_id := NULL;
  RETURN NEW;
END
$$;

-- Where FORCE ROW LEVEL SECURITY comes later, the message is refused and nothing wrong is kept.
CREATE OR REPLACE FUNCTION kept_check_row_security() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF row_security_active('chat_sessions') OR row_security_active('chat_messages') THEN
    RAISE EXCEPTION 'row level security hides chat sessions or messages from %, who keeps their counts', current_user
      USING HINT = 'Give that role BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or run migrations/kept/drop.sql.';
  END IF;
END
$$;

-- Every change of a message writes its session's row, also where that changes nothing, and also where message_count is
-- NULL and stays so: then two who change messages of one session wait for each other, the backfill waits for both, and a
-- REPEATABLE READ transaction, whose snapshot may be too old to see the newest message, gets 40001 instead of a wrong one.

-- The newest message is the first in the order `created_at DESC, id DESC`, in which one without a time stands first. A new
-- message nearly always is it, and then one statement does it all: it tests the row that it updates, and if another writer
-- had that row PostgreSQL tests it anew with his values.
CREATE OR REPLACE FUNCTION kept_message_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE chat_sessions s SET
    message_count = s.message_count + 1,
    last_message = NEW.content,
    last_message_created_at = NEW.created_at,
    last_message_id = NEW.id
  WHERE s.id = NEW.session_id AND (s.message_count = 0 OR s.last_message_created_at < NEW.created_at);
  IF NOT FOUND THEN
    PERFORM kept_check_row_security();
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

-- The sessions are locked first, in the order of their ids; the second statement sees what those before have committed.
CREATE OR REPLACE FUNCTION kept_message_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM kept_check_row_security();
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

CREATE OR REPLACE FUNCTION kept_messages_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM kept_check_row_security();
  PERFORM FROM chat_sessions WHERE id IN (SELECT session_id FROM gone) ORDER BY id FOR NO KEY UPDATE;
  -- None is left where the messages went with their session.
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

-- TRUNCATE takes away messages that its transaction's snapshot does not show, and their sessions as well may be out of its
-- sight. Where the sessions went with the messages (TRUNCATE chat_sessions CASCADE) nothing is kept that could be wrong.
CREATE OR REPLACE FUNCTION kept_messages_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM kept_check_row_security();
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

-- A dump, or a copy of another session's row, brings that one's values along.
CREATE OR REPLACE TRIGGER kept_new_session BEFORE INSERT ON chat_sessions FOR EACH ROW
  WHEN (NEW.message_count IS DISTINCT FROM 0 OR NEW.last_message IS NOT NULL
        OR NEW.last_message_created_at IS NOT NULL OR NEW.last_message_id IS NOT NULL)
  EXECUTE FUNCTION kept_new_session();
CREATE OR REPLACE TRIGGER kept_message_inserted AFTER INSERT ON chat_messages FOR EACH ROW
  EXECUTE FUNCTION kept_message_inserted();
-- Not UPDATE OF: a trigger of the product's may change a column that the statement does not name. To mark a message read
-- calls nothing. COLLATE "C": what some collations hold to be equal is not the same text.
CREATE OR REPLACE TRIGGER kept_message_updated AFTER UPDATE ON chat_messages FOR EACH ROW
  WHEN ((OLD.id, OLD.session_id, OLD.created_at, OLD.content COLLATE "C")
        IS DISTINCT FROM (NEW.id, NEW.session_id, NEW.created_at, NEW.content COLLATE "C"))
  EXECUTE FUNCTION kept_message_updated();
CREATE OR REPLACE TRIGGER kept_messages_deleted AFTER DELETE ON chat_messages
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION kept_messages_deleted();
CREATE OR REPLACE TRIGGER kept_messages_truncated AFTER TRUNCATE ON chat_messages
  FOR EACH STATEMENT EXECUTE FUNCTION kept_messages_truncated();

-- From here on, and not before: only a session that the triggers have seen from its beginning begins as kept.
ALTER TABLE chat_sessions ALTER COLUMN message_count SET DEFAULT 0;

-- As in 2_counts.sql: to fire a trigger needs no right to its function, and these run as their owner.
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT p.oid::regprocedure AS routine, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE pronamespace = current_schema()::regnamespace AND proname ~ '^(kept|keep_chat|fold_chat)_' AND a.grantee <> proowner
  LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', r.routine, r.grantee);
  END LOOP;
END
$$;

COMMIT;
