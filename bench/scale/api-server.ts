/** An API server with the cluster, in a process of its own: `node api-server.js SERVICES ENDPOINTS KEY-FILE CERT-FILE`. Prints its port. */
import { readFileSync } from 'node:fs';
import { FakeApiServer } from '../../lib/testing/index.ts';
import { nodeObject, podsOf, serviceObject, sliceObject } from './cluster.ts';

const [services = '', endpoints = '', key = '', cert = ''] = process.argv.slice(2);
const server = await FakeApiServer.start({ tls: { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') } });
server.put(nodeObject());
for (let service = 0; service < Number(services); service++) {
  server.put(serviceObject(service));
  server.put(sliceObject(service, podsOf(service, Number(endpoints))));
}
process.stdout.write(`${new URL(server.url).port}\n`);
