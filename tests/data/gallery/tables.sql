CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA museum;
CREATE TABLE museum.people (
    person_no integer, museum text, title text, origin text, wikidata integer
);
CREATE TABLE museum.portraits (portrait_no integer, museum text, features vector);
CREATE TABLE museum.sittings (person_no integer, portrait_no integer, museum text);
CREATE TABLE museum.rooms (room_no integer, museum text, kind text);
CREATE TABLE museum.doors (from_room integer, to_room integer, museum text, material text);
