// Node's clients, asked line by line: the first line on standard input is {url, inputs}, each further one a question
// {client, feature, stream}; each answer is one line: {outcome}, {failed} or {broken}.
import readline from "node:readline";
import { openaiClients } from "./openai.mjs";
import { vercelClients } from "./vercel.mjs";

console.log = console.info = console.warn = console.error; // standard output is for answers; libraries warn on it

let clients;
for await (const line of readline.createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (clients === undefined) {
    clients = { ...openaiClients(told.url, told.inputs), ...vercelClients(told.url, told.inputs) };
    continue;
  }
  let said;
  try {
    said = await clients[told.client](told.feature, told.stream);
  } catch (error) {
    said = { broken: error.stack ?? String(error) };
  }
  process.stdout.write(JSON.stringify(said) + "\n");
}
