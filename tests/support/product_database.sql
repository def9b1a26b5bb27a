-- A database like the product's: its roles, default privileges, tables, row level security, trigger and publication.
-- Roles belong to the server, and another test may just make the same.
DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY '{anon,authenticated,service_role BYPASSRLS}'::text[] LOOP
    BEGIN
      EXECUTE 'CREATE ROLE ' || r;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
    END;
  END LOOP;
END
$$;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;

CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;

CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text);
CREATE TABLE chat_widgets (
  id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name    text
);
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
CREATE TABLE chat_messages (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
  role       text NOT NULL CHECK (role IN ('visitor', 'agent', 'system')),
  content    text NOT NULL,
  read_at    timestamptz,
  created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_chat_messages_session_id ON chat_messages (session_id, created_at);
CREATE TABLE api_keys (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name         text NOT NULL,
  key_prefix   text NOT NULL,
  key_hash     text NOT NULL UNIQUE,
  is_active    boolean DEFAULT true,
  last_used_at timestamptz,
  created_at   timestamptz DEFAULT now()
);

-- Not SECURITY DEFINER, and there is no policy for UPDATE: a signed-in user's message moves no session.
CREATE FUNCTION touch_chat_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE chat_sessions SET last_message_at = now() WHERE id = NEW.session_id;
  RETURN NEW;
END
$$;
CREATE TRIGGER touch_chat_session AFTER INSERT ON chat_messages FOR EACH ROW EXECUTE FUNCTION touch_chat_session();

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_widgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_user ON users FOR SELECT USING (auth.uid() = id);
CREATE POLICY own_widgets ON chat_widgets FOR ALL USING (auth.uid() = user_id);
CREATE POLICY own_sessions ON chat_sessions FOR SELECT USING (auth.uid() = user_id);
CREATE POLICY own_messages ON chat_messages FOR SELECT
  USING (EXISTS (SELECT FROM chat_sessions s WHERE s.id = session_id AND s.user_id = auth.uid()));
CREATE POLICY own_replies ON chat_messages FOR INSERT
  WITH CHECK (EXISTS (SELECT FROM chat_sessions s WHERE s.id = session_id AND s.user_id = auth.uid()));
CREATE POLICY own_keys ON api_keys FOR ALL USING (auth.uid() = user_id);

CREATE PUBLICATION supabase_realtime FOR TABLE chat_sessions, chat_messages;

-- As the host does it: row level security for every new table of the schema.
CREATE FUNCTION enable_row_security() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE schema_name = 'public' AND object_type = 'table' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', r.object_identity);
  END LOOP;
END
$$;
CREATE EVENT TRIGGER enable_row_security ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
  EXECUTE FUNCTION enable_row_security();
