-- Amounts, prices and quantities are exact decimals.
CREATE TABLE orders (
  id uuid PRIMARY KEY,
  client_order_id text NOT NULL UNIQUE,
  content bytea NOT NULL,              -- SHA-256 of the request
  symbol text NOT NULL,
  side smallint NOT NULL,              -- 1 buy, 2 sell
  quantity numeric NOT NULL CHECK (quantity > 0),
  limit_price numeric,                 -- null for market orders
  filled numeric NOT NULL CHECK (filled >= 0 AND filled <= quantity),
  value numeric NOT NULL,              -- of what was filled, in the quote currency
  fees numeric NOT NULL,
  state smallint NOT NULL,             -- 1 open, 2 partially filled, 3 filled, 4 cancelled
  agent text NOT NULL,
  run_id text NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX orders_open ON orders (created_at) WHERE state <= 2;
CREATE INDEX orders_newest ON orders (created_at DESC, id DESC);

CREATE TABLE fills (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id uuid NOT NULL REFERENCES orders,
  price numeric NOT NULL,
  quantity numeric NOT NULL CHECK (quantity > 0),
  fee numeric NOT NULL,
  taker boolean NOT NULL,
  at timestamptz NOT NULL
);
CREATE INDEX fills_order ON fills (order_id, id);

CREATE TABLE balances (
  currency text PRIMARY KEY,
  total numeric NOT NULL CHECK (total >= 0),
  held numeric NOT NULL CHECK (held >= 0 AND held <= total)
);

CREATE TABLE positions (
  symbol text PRIMARY KEY,
  quantity numeric NOT NULL CHECK (quantity >= 0),
  cost numeric NOT NULL,
  realized numeric NOT NULL
);

-- One row.
CREATE TABLE account (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  deposit numeric NOT NULL,
  fees numeric NOT NULL,
  peak_equity numeric NOT NULL,
  day date NOT NULL,
  day_equity numeric NOT NULL          -- at the day's beginning
);

-- Last prices, so that a restart does not move the market.
CREATE TABLE prices (
  symbol text PRIMARY KEY,
  price numeric NOT NULL CHECK (price > 0),
  at timestamptz NOT NULL
);

-- Alerts that are on.
CREATE TABLE active_alerts (
  name text PRIMARY KEY,
  since timestamptz NOT NULL
);

-- What other services are still to be told; written with what it tells of.
CREATE TABLE outbox (
  id uuid PRIMARY KEY,
  kind text NOT NULL,                  -- alert, action
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  delivered_at timestamptz
);
CREATE INDEX outbox_waiting ON outbox (created_at, id) WHERE delivered_at IS NULL;
