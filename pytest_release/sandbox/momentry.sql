-- The tables of the reference deployment, as far as a release of momentry touches them.
-- Ids are natural keys, so that a row means the same in every database. {schema} is replaced.
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE TABLE {schema}.videos (
    file_uuid uuid PRIMARY KEY,
    file_name text NOT NULL,
    duration double precision NOT NULL,
    fps double precision NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE {schema}.chunk (
    chunk_id text PRIMARY KEY,
    file_uuid uuid NOT NULL REFERENCES {schema}.videos,
    chunk_index integer NOT NULL,
    start_time double precision NOT NULL,
    end_time double precision NOT NULL,
    speaker text,
    content text NOT NULL,
    metadata jsonb
);
CREATE TABLE {schema}.chunk_vectors (
    chunk_id text PRIMARY KEY REFERENCES {schema}.chunk,
    file_uuid uuid NOT NULL,
    embedding public.vector(768) NOT NULL
);
CREATE TABLE {schema}.face_detections (
    face_id text PRIMARY KEY,
    file_uuid uuid NOT NULL REFERENCES {schema}.videos,
    frame integer NOT NULL,
    "timestamp" double precision NOT NULL,
    x integer NOT NULL,
    y integer NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    confidence real NOT NULL,
    embedding public.vector(512)
);
CREATE TABLE {schema}.identities (
    identity_uuid uuid PRIMARY KEY,
    file_uuid uuid NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    tmdb_id integer,
    metadata jsonb
);
CREATE TABLE {schema}.identity_merges (
    file_uuid uuid NOT NULL,
    merged_uuid uuid NOT NULL,
    into_uuid uuid NOT NULL,
    PRIMARY KEY (file_uuid, merged_uuid)
);
CREATE TABLE {schema}.identity_bindings (
    binding_id text PRIMARY KEY,
    file_uuid uuid NOT NULL,
    identity_uuid uuid NOT NULL REFERENCES {schema}.identities,
    face_id text NOT NULL REFERENCES {schema}.face_detections,
    confidence real NOT NULL
);
CREATE TABLE {schema}.tkg_nodes (
    node_id text PRIMARY KEY,
    file_uuid uuid NOT NULL,
    node_type text NOT NULL,
    label text NOT NULL,
    start_time double precision,
    end_time double precision,
    ref_id text
);
CREATE TABLE {schema}.tkg_edges (
    edge_id text PRIMARY KEY,
    file_uuid uuid NOT NULL,
    source_id text NOT NULL,
    target_id text NOT NULL,
    edge_type text NOT NULL,
    weight real NOT NULL,
    start_time double precision,
    end_time double precision
);
CREATE INDEX ON {schema}.chunk (file_uuid);
CREATE INDEX ON {schema}.chunk_vectors (file_uuid);
CREATE INDEX ON {schema}.face_detections (file_uuid);
CREATE INDEX ON {schema}.identities (file_uuid);
CREATE INDEX ON {schema}.identities (tmdb_id);
CREATE INDEX ON {schema}.identity_bindings (file_uuid);
CREATE INDEX ON {schema}.identity_bindings (identity_uuid);
CREATE INDEX ON {schema}.identity_bindings (face_id);
CREATE INDEX ON {schema}.tkg_nodes (file_uuid);
CREATE INDEX ON {schema}.tkg_edges (file_uuid);
