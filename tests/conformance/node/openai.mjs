// The openai library for Node: chat completions and responses, with its own stream helpers.
import OpenAI from "openai";

const FINISH = { stop: "stop", tool_calls: "tool" };

export function openaiClients(url, inputs) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0, timeout: 20_000 });
  const guarded = (ask) => async (feature, stream) => {
    try {
      return { outcome: await ask(feature, stream) };
    } catch (error) {
      if (!(error instanceof OpenAI.APIError)) throw error;
      return { failed: failure(error) };
    }
  };
  return {
    "openai-chat": guarded((feature, stream) => chat(client, "gpt-test", inputs, feature, stream)),
    "openai-chat-claude": guarded((feature, stream) => chat(client, "claude-test", inputs, feature, stream)),
    "openai-embeddings": async () => ({ outcome: await embed(client) }),
    "openai-responses": guarded((feature, stream) => responses(client, inputs, feature, stream)),
  };
}

async function chat(client, model, inputs, feature, stream) {
  const body = { model, ...chatRequest(inputs, feature) };
  const completion = stream
    ? await client.chat.completions.stream({ ...body, stream_options: { include_usage: true } }).finalChatCompletion()
    : await client.chat.completions.create(body);
  const [first] = completion.choices;
  const text = first.message.content;
  return {
    text,
    texts: completion.choices.map((choice) => choice.message.content),
    calls: (first.message.tool_calls ?? []).map((c) => [c.function.name, JSON.parse(c.function.arguments)]),
    finish: FINISH[first.finish_reason],
    json: text?.startsWith("{") ? JSON.parse(text) : null,
    tokens: first.logprobs?.content?.map((token) => token.token) ?? null,
    usage: completion.usage ? [completion.usage.prompt_tokens, completion.usage.completion_tokens] : null,
  };
}

function chatRequest(inputs, feature) {
  const user = (content) => ({ role: "user", content });
  const tools = [{ type: "function", function: { ...inputs.tool, strict: true } }];
  const look = { type: "text", text: inputs.look };
  const requests = {
    text: { messages: [{ role: "system", content: inputs.system }, user(inputs.hello)] },
    tool: { messages: [user(inputs.one)], tools },
    tools: { messages: [user(inputs.two)], tools },
    "not-parallel": { messages: [user(inputs.two)], tools, parallel_tool_calls: false },
    results: { messages: [user(inputs.two), ...called(inputs)], tools },
    structured: {
      messages: [user(inputs.forecast)],
      response_format: { type: "json_schema", json_schema: { name: "answer", schema: inputs.schema, strict: true } },
    },
    image: {
      messages: [user([look, { type: "image_url", image_url: { url: `data:image/png;base64,${inputs.png}` } }])],
    },
    audio: { messages: [user([look, { type: "input_audio", input_audio: { data: inputs.wav, format: "wav" } }])] },
    logprobs: { messages: [user(inputs.hello)], logprobs: true, top_logprobs: 2 },
    several: { messages: [user(inputs.hello)], n: 3 },
  };
  return requests[feature] ?? { messages: [user(feature)] };
}

function called(inputs) {
  const tool_calls = ["Paris", "Oslo"].map((city, n) => ({
    id: `call_${n}`,
    type: "function",
    function: { name: "weather", arguments: JSON.stringify({ city }) },
  }));
  const results = inputs.degrees.map((content, n) => ({ role: "tool", tool_call_id: `call_${n}`, content }));
  return [{ role: "assistant", content: null, tool_calls }, ...results];
}

async function responses(client, inputs, feature, stream) {
  const body = { model: "gpt-test", ...responsesRequest(inputs, feature) };
  const found = stream ? await client.responses.stream(body).finalResponse() : await client.responses.create(body);
  const text = found.output_text;
  return {
    text,
    calls: found.output
      .filter((item) => item.type === "function_call")
      .map((item) => [item.name, JSON.parse(item.arguments)]),
    json: text.startsWith("{") ? JSON.parse(text) : null,
    usage: [found.usage.input_tokens, found.usage.output_tokens],
  };
}

function responsesRequest(inputs, feature) {
  const tools = [{ type: "function", ...inputs.tool, strict: true }];
  const calls = ["Paris", "Oslo"].map((city, n) => ({
    type: "function_call",
    call_id: `call_${n}`,
    name: "weather",
    arguments: JSON.stringify({ city }),
  }));
  const outputs = inputs.degrees.map((output, n) => ({ type: "function_call_output", call_id: `call_${n}`, output }));
  const picture = { type: "input_image", image_url: `data:image/png;base64,${inputs.png}`, detail: "auto" };
  const requests = {
    text: { input: inputs.hello, instructions: inputs.system },
    tool: { input: inputs.one, tools },
    tools: { input: inputs.two, tools },
    "not-parallel": { input: inputs.two, tools, parallel_tool_calls: false },
    results: { input: [{ role: "user", content: inputs.two }, ...calls, ...outputs], tools },
    structured: {
      input: inputs.forecast,
      text: { format: { type: "json_schema", name: "answer", schema: inputs.schema, strict: true } },
    },
    image: { input: [{ role: "user", content: [{ type: "input_text", text: inputs.look }, picture] }] },
    continued: { input: inputs.hello, previous_response_id: "resp_1" },
  };
  return requests[feature] ?? { input: feature };
}

async function embed(client) {
  const found = await client.embeddings.create({ model: "text-test", input: ["ab", "ü"] });
  return { vectors: found.data.map((row) => row.embedding) };
}

function failure(error) {
  return {
    classes: [error.constructor.name],
    status: error.status ?? null,
    retry_after: error.headers?.get("retry-after") ?? null,
    message: error.message,
  };
}
