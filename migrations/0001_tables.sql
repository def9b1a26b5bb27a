-- Creates the product's tables in a database that does not have them.
--
-- In the product's own database every table exists and this file changes nothing. Each table has its own DO block instead of
-- CREATE TABLE IF NOT EXISTS, so that an existing table also keeps exactly its indexes and triggers. So the file may run again
-- at any time.

DO $$
BEGIN
  IF to_regclass('users') IS NULL THEN
    CREATE TABLE users (
      id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      email text
    );
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('chat_widgets') IS NULL THEN
    CREATE TABLE chat_widgets (
      id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      name    text
    );
  END IF;
END
$$;

-- In the product, status and both times may be NULL.
DO $$
BEGIN
  IF to_regclass('chat_sessions') IS NULL THEN
    CREATE TABLE chat_sessions (
      id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      widget_id       uuid NOT NULL REFERENCES chat_widgets (id) ON DELETE CASCADE,
      user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      visitor_id      text NOT NULL,
      visitor_name    text,
      visitor_email   text,
      page_url        text,
      browser_info    jsonb,
      status          text DEFAULT 'active',
      last_message_at timestamptz DEFAULT now(),
      created_at      timestamptz DEFAULT now()
    );
    CREATE INDEX idx_chat_sessions_user_id ON chat_sessions (user_id, last_message_at DESC);
    CREATE INDEX idx_chat_sessions_widget_id ON chat_sessions (widget_id);
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('chat_messages') IS NULL THEN
    CREATE TABLE chat_messages (
      id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      session_id uuid NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
      role       text NOT NULL CHECK (role IN ('visitor', 'agent', 'system')),
      content    text NOT NULL,
      read_at    timestamptz,
      created_at timestamptz DEFAULT now()
    );
    CREATE INDEX idx_chat_messages_session_id ON chat_messages (session_id, created_at);

    CREATE FUNCTION set_chat_session_last_message_at() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      UPDATE chat_sessions SET last_message_at = now() WHERE id = NEW.session_id;
      RETURN NEW;
    END
    $body$;
    CREATE TRIGGER chat_messages_set_last_message_at
      AFTER INSERT ON chat_messages
      FOR EACH ROW EXECUTE FUNCTION set_chat_session_last_message_at();
  END IF;
END
$$;
