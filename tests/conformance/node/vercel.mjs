// Vercel's AI SDK: generateText and streamText over OpenAI's chat completions and responses, and Anthropic's messages.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateText, jsonSchema, Output, streamText, tool } from "ai";

const FINISH = { stop: "stop", "tool-calls": "tool" };

export function vercelClients(url, inputs) {
  const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test" });
  const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: "sk-test" });
  const models = {
    "vercel-chat": openai.chat("gpt-test"),
    "vercel-responses": openai.responses("gpt-test"),
    "vercel-messages": anthropic("claude-test"),
    "vercel-messages-gpt": anthropic("gpt-test"),
  };
  const embeddings = openai.embedding("text-test");
  const clients = { "vercel-embeddings": async () => ({ outcome: await embed(embeddings) }) };
  for (const [name, model] of Object.entries(models)) {
    clients[name] = (feature, stream) => ask(name, model, inputs, feature, stream);
  }
  return clients;
}

async function embed(model) {
  const found = await embedMany({ model, values: ["ab", "ü"] });
  return { vectors: found.embeddings };
}

async function ask(name, model, inputs, feature, stream) {
  const request = { model, maxRetries: 0, ...prompt(inputs, feature), ...options(name, feature) };
  try {
    if (!stream) return { outcome: await outcome(await generateText(request), feature) };
    let failed;
    const streamed = streamText({ ...request, onError: ({ error }) => (failed = error) });
    await streamed.consumeStream();
    if (failed) throw failed;
    return { outcome: await outcome(streamed, feature) };
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    return { failed: failure(error) };
  }
}

function prompt(inputs, feature) {
  const tools = {
    weather: tool({ description: inputs.tool.description, inputSchema: jsonSchema(inputs.tool.parameters) }),
  };
  const image = { type: "image", image: Buffer.from(inputs.png, "base64"), mediaType: "image/png" };
  const prompts = {
    text: { system: inputs.system, prompt: inputs.hello },
    tool: { prompt: inputs.one, tools },
    tools: { prompt: inputs.two, tools },
    "not-parallel": { prompt: inputs.two, tools },
    results: { messages: [{ role: "user", content: inputs.two }, ...called(inputs)], tools },
    structured: { prompt: inputs.forecast, output: Output.object({ schema: jsonSchema(inputs.schema) }) },
    image: { messages: [{ role: "user", content: [{ type: "text", text: inputs.look }, image] }] },
    logprobs: { prompt: inputs.hello },
    thinking: { prompt: inputs.hello },
    continued: { prompt: inputs.hello },
  };
  return prompts[feature] ?? { prompt: feature };
}

function options(name, feature) {
  const provider = name.startsWith("vercel-messages") ? "anthropic" : "openai";
  const settings = {
    "not-parallel": provider === "anthropic" ? { disableParallelToolUse: true } : { parallelToolCalls: false },
    logprobs: { logprobs: 2 },
    thinking: { thinking: { type: "adaptive" } },
    continued: { previousResponseId: "resp_1" },
  };
  return feature in settings ? { providerOptions: { [provider]: settings[feature] } } : {};
}

function called(inputs) {
  const cities = ["Paris", "Oslo"];
  const calls = cities.map((city, n) => ({
    type: "tool-call",
    toolCallId: `call_${n}`,
    toolName: "weather",
    input: { city },
  }));
  const results = inputs.degrees.map((value, n) => ({
    type: "tool-result",
    toolCallId: `call_${n}`,
    toolName: "weather",
    output: { type: "text", value },
  }));
  return [
    { role: "assistant", content: calls },
    { role: "tool", content: results },
  ];
}

async function outcome(result, feature) {
  const usage = await result.usage;
  const metadata = await result.providerMetadata;
  return {
    text: await result.text,
    calls: (await result.toolCalls).map((call) => [call.toolName, call.input]),
    finish: FINISH[await result.finishReason],
    json: feature === "structured" ? await result.output : null,
    thinking: (await result.reasoningText) ?? null,
    tokens: metadata?.openai?.logprobs?.map((token) => token.token) ?? null,
    usage: [usage.inputTokens, usage.outputTokens],
  };
}

function failure(error) {
  return {
    classes: [error.name],
    status: error.statusCode ?? null,
    retry_after: error.responseHeaders?.["retry-after"] ?? null,
    message: error.message,
  };
}
