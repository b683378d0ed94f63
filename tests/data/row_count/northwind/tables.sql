CREATE SCHEMA sales;
CREATE TABLE sales.customers (
    customer_id char(5) PRIMARY KEY,
    company_name text NOT NULL,
    phone text
);
CREATE TABLE sales.orders (
    order_id integer PRIMARY KEY,
    customer_id char(5) NOT NULL,
    order_date date,
    freight numeric,
    ship_address text,
    shipped_at timestamptz
);
CREATE TABLE sales.order_details (
    order_id integer NOT NULL,
    product_id integer NOT NULL,
    customer_id char(5) NOT NULL,
    quantity smallint,
    discount real
);
